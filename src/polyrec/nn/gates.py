"""Gates: how much each head (and scenario) takes from each expert."""

import torch
from torch import nn

from polyrec.nn.route import Route, Whole
from polyrec.nn.routed import RoutedLinear
from polyrec.nn.stacked import StackedLinear
from polyrec.shapes import Float, Tensor


class Gates(nn.Module):
    """`g_t = softmax(x G_t + c_t)` over E experts, for each of T heads; G of the row's scenario if `scenarios`.

    Source: Ma et al. 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate
    Mixture-of-Experts", equations 6 and 7.

    Example:
        >>> gates = Gates(8, experts=4, heads=2)
        >>> share = gates(torch.rand(5, 8), Whole())
        >>> share.shape, bool(torch.allclose(share.sum(-1), torch.ones(5, 2)))
        (torch.Size([5, 2, 4]), True)
    """

    def __init__(self, width_in: int, *, experts: int, heads: int, scenarios: int | None = None) -> None:
        super().__init__()
        self.shape = (heads, experts)
        self.layer: nn.Module
        if scenarios is None:
            self.layer = nn.Linear(width_in, heads * experts)
        else:
            self.layer = RoutedLinear(width_in, heads * experts, scenarios)

    def forward(self, x: Float[Tensor, "N I"], route: Route | Whole) -> Float[Tensor, "N T E"]:
        """Shares of the experts, which sum to 1."""
        logits = self.layer(x) if isinstance(self.layer, nn.Linear) else self.layer(x[None], route)[0]
        return torch.softmax(torch.unflatten(logits, -1, self.shape), -1)


class Selectors(nn.Module):
    """Like `Gates`, where each head's gate reads rows of its own: `g_t = softmax(x_t G_t + c_t)`.

    Example:
        >>> Selectors(8, experts=3, heads=2)(torch.rand(2, 5, 8), Whole()).shape
        torch.Size([5, 2, 3])
    """

    def __init__(self, width_in: int, *, experts: int, heads: int, scenarios: int | None = None) -> None:
        super().__init__()
        self.layer: StackedLinear | RoutedLinear
        if scenarios is None:
            self.layer = StackedLinear(heads, width_in, experts)
        else:
            self.layer = RoutedLinear(width_in, experts, scenarios, heads=heads)

    def forward(self, x: Float[Tensor, "T N I"], route: Route | Whole) -> Float[Tensor, "N T E"]:
        """Shares of the experts, which sum to 1."""
        logits: Tensor = self.layer(x, route) if isinstance(self.layer, RoutedLinear) else self.layer(x)
        return torch.softmax(logits, -1).transpose(0, 1)


class GateUnit(nn.Module):
    """`2 sigmoid(relu(x W + b) W' + b')`: factors around 1 that scale another layer's numbers up or down.

    Source: Chang et al. 2023, "PEPNet: Parameter and Embedding Personalized Network for Infusing with
    Personalized Prior Information", equations 1 and 2 (Gate NU, gamma = 2).

    Example:
        >>> factors = GateUnit(8, 16, 4)(torch.rand(5, 8))
        >>> factors.shape, bool(((factors > 0) & (factors < 2)).all())
        (torch.Size([5, 4]), True)
    """

    def __init__(self, width_in: int, width: int, width_out: int, *, neutral: bool = False) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(width_in, width), nn.Linear(width, width_out)
        if neutral:  # starts as the factor 1 everywhere
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(self, x: Float[Tensor, "B I"], steepness: Tensor | float = 1.0) -> Float[Tensor, "B O"]:
        """Factors in (0, 2); what the sigmoid reads is multiplied by the steepness first."""
        return 2.0 * torch.sigmoid(steepness * self.last(torch.relu(self.first(x))))


def mix(share: Float[Tensor, "N T E"], experts: Float[Tensor, "N E H"]) -> Float[Tensor, "T N H"]:
    """`y_t = sum_e share_te expert_e` for each row.

    Example:
        >>> mix(torch.tensor([[[0.25, 0.75]]]), torch.tensor([[[4.0], [8.0]]])).tolist()
        [[[7.0]]]
    """
    return torch.bmm(share, experts).transpose(0, 1)
