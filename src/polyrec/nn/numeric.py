"""Numbers in [0, 1] as vectors."""

import torch
from torch import nn

from polyrec.shapes import Float, Int, Tensor


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

    def __init__(self, numbers: int, dim: int, *, bins: int = 16, copies: int = 1) -> None:
        super().__init__()
        self.bins = bins
        self.weight = nn.Parameter(torch.randn(copies, numbers, bins, dim) * bins**-0.5)
        self.bias = nn.Parameter(torch.zeros(copies, numbers, dim))

    def forward(self, x: Float[Tensor, "B N"], copy: Int[Tensor, "B"] | None = None) -> Float[Tensor, "B ND"]:
        """D numbers for each of N; `copy` says which copy of the lines each row reads."""
        if copy is not None:
            return self._read(x, copy)
        edges = torch.arange(self.bins, dtype=x.dtype, device=x.device)
        through = (x.T[:, :, None] * self.bins - edges).clamp(0.0, 1.0)  # [N, B, K]
        y = torch.baddbmm(self.bias[0][:, None, :], through, self.weight[0])  # [N, B, D]
        return y.transpose(0, 1).flatten(1)

    def _read(self, x: Tensor, copy: Tensor) -> Tensor:
        """The same, as the height of the line at its bin's start plus the way through the bin."""
        place = x.clamp(0.0, 1.0) * self.bins
        bin_ = place.floor().clamp(max=self.bins - 1)
        heights = self.bias[:, :, None] + torch.cumsum(self.weight, 2) - self.weight  # [C, N, K, D]
        index = (copy[:, None], torch.arange(x.shape[1], device=x.device)[None, :], bin_.long())
        y = heights[index] + (place - bin_)[..., None] * self.weight[index]  # [B, N, D]
        return y.flatten(1)
