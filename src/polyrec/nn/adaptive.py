"""Layers that take from a network of all scenarios into one of the row's own scenario, one way, gate by gate."""

import torch
from torch import nn

from polyrec.nn.route import Route
from polyrec.nn.routed import RoutedLinear
from polyrec.shapes import Float, Tensor

OPEN = 2.0  # bias of a gate at the start


class AdaptiveTransfer(nn.Module):
    """One layer of both networks, and the unit that carries from the global into the scenario's.

    Formula, s the row's scenario and e its embedding:
        g  = relu(Wg g' + b)                    global: nothing of a scenario enters it
        h  = relu(Ws h' + b)                    the scenario's own
        a  = sigmoid(Wa_s [g; h; e] + b)        adaptive gate: what to take from the global
        c  = tanh(Wc_s [a * g; h] + b)          candidate
        z  = sigmoid(Wz_s [g; h; e] + b)        update gate: how much of it
        h~ = (1 - z) * h + z * c

    At the start both gates stand open (sigmoid(2) = 0.88) and the candidate passes the global state on: a scenario's
    path is near the global one and departs from it as the scenario's own rows tell. One with few rows stays near; with
    random gates it would start apart at random and never come back.

    Without `adaptive`, a = 1; without `update`, z = 1; without `transfer`, h~ = h.

    Source: Zhang et al., CIKM 2022 (SASS), of which the text names the two gates and what each is for. The formulas
    are our reconstruction: the paper's own were not available to us.

    Example:
        >>> layer = AdaptiveTransfer(8, 4, 3, embedding=2)
        >>> route = Route(torch.tensor([2, 0, 2]), 3)
        >>> shared, own = layer(torch.rand(3, 8), torch.rand(3, 8), torch.rand(3, 2), route)
        >>> shared.shape, own.shape
        (torch.Size([3, 4]), torch.Size([3, 4]))
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        scenarios: int,
        *,
        embedding: int,
        transfer: bool = True,
        adaptive: bool = True,
        update: bool = True,
    ) -> None:
        super().__init__()
        self.shared = nn.Linear(width_in, width_out)
        self.own = RoutedLinear(width_in, width_out, scenarios)
        gate, both = 2 * width_out + embedding, 2 * width_out
        self.adaptive = RoutedLinear(gate, width_out, scenarios) if transfer and adaptive else None
        self.candidate = RoutedLinear(both, width_out, scenarios) if transfer else None
        self.update = RoutedLinear(gate, width_out, scenarios) if transfer and update else None
        self._start(width_out)

    @torch.no_grad()
    def _start(self, width: int) -> None:
        for gate in (self.adaptive, self.update):
            if gate is not None:
                gate.weight.mul_(0.1)
                gate.bias.fill_(OPEN)
        if self.candidate is not None:
            self.candidate.weight.mul_(0.1)
            self.candidate.weight[..., :width, :] += torch.eye(width)
            self.candidate.bias.zero_()

    def forward(
        self, shared: Float[Tensor, "N I"], own: Float[Tensor, "N I"], scenario: Float[Tensor, "N D"], route: Route
    ) -> tuple[Float[Tensor, "N O"], Float[Tensor, "N O"]]:
        """Both networks' next states, of rows as `route.enter` gave them."""
        g = torch.relu(self.shared(shared))
        h = torch.relu(self.own(own[None], route)[0])
        if self.candidate is None:
            return g, h
        state = torch.cat([g, h, scenario], 1)[None]
        taken = g if self.adaptive is None else torch.sigmoid(self.adaptive(state, route)[0]) * g
        candidate = torch.tanh(self.candidate(torch.cat([taken, h], 1)[None], route)[0])
        if self.update is None:
            return g, candidate
        return g, torch.lerp(h, candidate, torch.sigmoid(self.update(state, route)[0]))
