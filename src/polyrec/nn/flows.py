"""Information flows: shared and own units of scenario and head, and the four ways through them."""

from collections.abc import Collection
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import nn

from polyrec.nn.lora import HeadLoRA, LoRA
from polyrec.nn.route import Route
from polyrec.shapes import Float, Tensor

# Scenario unit first, task unit second; the order of the gates.
FLOWS = ("shared,shared", "scenario,task", "shared,task", "scenario,shared")
Stream = Literal["shared", "own", "full"]


class Streams(NamedTuple):
    """Rows after the scenario units, before the last activation; None where it was not asked for."""

    shared: Float[Tensor, "B H"] | None  # through shared units alone
    own: Float[Tensor, "B H"] | None  # through the scenario's own units alone
    full: Float[Tensor, "B H"] | None  # through both, added in every layer


def _linear(width_in: int, width_out: int) -> nn.Linear:
    layer = nn.Linear(width_in, width_out)
    nn.init.xavier_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class ScenarioUnits(nn.Module):
    """A stack of layers, each with a full-rank unit that all scenarios share and a low-rank one of each.

    In layer l, with f the shared unit, f^k that of the row's scenario, and the rows themselves below the first:
        shared: `s_l = f(relu(s_{l-1}))` · own: `p_l = f^k(relu(p_{l-1}))`
        full: `z_l = f(u) + f^k(u)`, `u = relu(z_{l-1})`

    Args:
        width_in: I.
        widths: H of each layer.
        scenarios: S.
        rank: R of the own units.
        streams: which are wanted.
        live: whether the own units start at something other than 0.

    Example:
        >>> units = ScenarioUnits(8, (6, 4), 3, rank=2, streams=("shared", "full"))
        >>> route = Route(torch.tensor([2, 0, -1]), 3, unknown="shared")
        >>> shared, own, full = units(torch.rand(3, 8), route)
        >>> shared.shape, own, bool(torch.equal(shared, full))  # own units start as 0
        (torch.Size([3, 4]), None, True)
    """

    def __init__(
        self,
        width_in: int,
        widths: tuple[int, ...],
        scenarios: int,
        *,
        rank: int,
        streams: Collection[Stream],
        live: bool = False,
    ) -> None:
        super().__init__()
        sizes = list(pairwise((width_in, *widths)))
        self.shared = nn.ModuleList(_linear(a, b) for a, b in sizes)
        own = scenarios and set(streams) & {"own", "full"}
        self.own = nn.ModuleList(LoRA(a, b, scenarios, rank=rank, live=live) for a, b in sizes if own)
        self.streams, self.width = frozenset(streams), widths[-1]

    def forward(self, h: Float[Tensor, "B I"], route: Route) -> Streams:
        """Rows in the order of `route`."""
        first, *rest = self.shared
        shared = first(h)
        if not self.own:  # nobody has a unit of their own
            own = h.new_zeros(h.shape[0], self.width) if "own" in self.streams else None
            full = shared if "full" in self.streams else None
        else:
            p = self.own[0](h, route)
            own = p if "own" in self.streams else None
            full = shared + p if "full" in self.streams else None
        for place, layer in enumerate(rest, 1):
            shared = layer(torch.relu(shared)) if "shared" in self.streams else shared
            if own is not None and self.own:
                own = self.own[place](torch.relu(own), route)
            if full is not None:
                u = torch.relu(full)
                full = layer(u) + self.own[place](u, route) if self.own else layer(u)
        return Streams(shared if "shared" in self.streams else None, own, full)


class TaskUnits(nn.Module):
    """A stack of layers down to one logit, each with a full-rank unit of all heads and a low-rank one of each.

    Example:
        >>> units = TaskUnits(8, (4,), heads=3, rank=2)
        >>> z = torch.rand(5, 8)
        >>> units.common(z).shape, units.each(z).shape, units.both(z).shape
        (torch.Size([1, 5]), torch.Size([3, 5]), torch.Size([3, 5]))
    """

    def __init__(self, width_in: int, widths: tuple[int, ...], *, heads: int, rank: int) -> None:
        super().__init__()
        sizes = list(pairwise((width_in, *widths, 1)))
        self.shared = nn.ModuleList(_linear(a, b) for a, b in sizes)
        self.own = nn.ModuleList(HeadLoRA(heads, a, b, rank=rank) for a, b in sizes)

    def common(self, z: Float[Tensor, "B I"]) -> Float[Tensor, "1 B"]:
        """Through the shared units alone: T(z)."""
        for place, layer in enumerate(self.shared):
            z = layer(torch.relu(z) if place else z)
        return z[None, :, 0]

    def each(self, z: Float[Tensor, "B I"]) -> Float[Tensor, "T B"]:
        """Through each head's own units alone: L(z)."""
        for place, layer in enumerate(self.own):
            z = layer(torch.relu(z) if place else z)
        return z[..., 0]

    def both(self, z: Float[Tensor, "B I"]) -> Float[Tensor, "T B"]:
        """Through both, added in every layer."""
        for place, (shared, own) in enumerate(zip(self.shared, self.own, strict=True)):
            u = torch.relu(z) if place else z
            z = shared(u) + own(u)
        return z[..., 0]
