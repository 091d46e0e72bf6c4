"""Gates: how much each head (and scenario) takes from each expert."""

import torch
from torch import nn

from polyrec.nn.route import Route, RoutedLinear, Whole
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
        return torch.softmax(logits.unflatten(-1, self.shape), -1)


def mix(share: Float[Tensor, "N T E"], experts: Float[Tensor, "N E H"]) -> Float[Tensor, "T N H"]:
    """`y_t = sum_e share_te expert_e` for each row.

    Example:
        >>> mix(torch.tensor([[[0.25, 0.75]]]), torch.tensor([[[4.0], [8.0]]])).tolist()
        [[[7.0]]]
    """
    return torch.bmm(share, experts).transpose(0, 1)
