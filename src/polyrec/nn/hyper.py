"""Layers whose weights another vector makes, row by row."""

import torch
from torch import nn

from polyrec.shapes import Float, Tensor


class MetaLinear(nn.Module):
    """`y = x W(e) + b(e)` with `W(e) = W_0 + sum_v e_v W_v`, `b(e) = b_0 + sum_v e_v b_v`, e `[B, V]` of the row.

    No weight is made for a row: e and x are multiplied out and meet all W_v at once, (V + 1) I O work a row.

    Source: the meta unit of Zhang et al. 2022, "Leaving No One Behind: A Multi-Scenario Multi-Task Meta Learning
    Approach for Advertiser Modeling".

    Example:
        >>> MetaLinear(8, 4, 3)(torch.rand(5, 2, 8), torch.rand(5, 3)).shape
        torch.Size([5, 2, 4])
    """

    def __init__(self, width_in: int, width_out: int, made_from: int) -> None:
        super().__init__()
        bound = (width_in * (made_from + 1)) ** -0.5
        self.weight = nn.Parameter(torch.empty(made_from + 1, width_in, width_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(made_from + 1, width_out))

    def forward(self, x: Float[Tensor, "B K I"], made: Float[Tensor, "B V"]) -> Float[Tensor, "B K O"]:
        """K inputs a row, under the weights that the row's vector makes."""
        full = torch.cat([torch.ones_like(made[:, :1]), made], 1)  # [B, V + 1]
        wide = (full[:, None, :, None] * x[:, :, None, :]).flatten(2)  # [B, K, (V + 1) I]
        return wide @ self.weight.flatten(0, 1) + (full @ self.bias)[:, None]
