"""Numbers in [0, 1] as vectors."""

import torch
from torch import nn

from polyrec.shapes import Float, Tensor


class PiecewiseLinear(nn.Module):
    """Each number as a point on its own broken line in D dimensions.

    With K equal bins, `v_k = clamp(K x - k, 0, 1)` for k = 0 .. K-1 says how far x has gone through bin k, and
    `y = bias + sum_k v_k weight_k`: continuous in x, linear within a bin, and every bin has its own direction.
    Numbers that were ranked into [0, 1] beforehand get quantile bins.

    Source: Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning", section 3.1.

    Example:
        >>> encode = PiecewiseLinear(3, 8, bins=4)
        >>> encode(torch.rand(5, 3)).shape
        torch.Size([5, 24])
    """

    def __init__(self, numbers: int, dim: int, *, bins: int = 16) -> None:
        super().__init__()
        self.bins = bins
        self.weight = nn.Parameter(torch.empty(numbers, bins, dim))
        self.bias = nn.Parameter(torch.zeros(numbers, dim))
        nn.init.normal_(self.weight, std=bins**-0.5)

    def forward(self, x: Float[Tensor, "B N"]) -> Float[Tensor, "B ND"]:
        """D numbers for each of N."""
        edges = torch.arange(self.bins, dtype=x.dtype, device=x.device)
        through = (x.T[:, :, None] * self.bins - edges).clamp(0.0, 1.0)  # [N, B, K]
        y = torch.baddbmm(self.bias[:, None, :], through, self.weight)  # [N, B, D]
        return y.transpose(0, 1).flatten(1)
