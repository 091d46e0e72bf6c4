"""Layers that multiply features with one another, to a bounded degree."""

from itertools import pairwise

import torch
from torch import nn

from polyrec.shapes import Float, Tensor


class CrossLayer(nn.Module):
    """`y = x0 * (x W + b) + x`; with a rank, `W = U V` of rank R.

    Source: Wang et al. 2021, "DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to
    Rank Systems", equations 1 and 2.

    Example:
        >>> x0 = torch.rand(5, 8)
        >>> CrossLayer(8)(x0, x0).shape, CrossLayer(8, rank=2)(x0, x0).shape
        (torch.Size([5, 8]), torch.Size([5, 8]))
    """

    def __init__(self, width: int, *, rank: int | None = None) -> None:
        super().__init__()
        self.map: nn.Module = nn.Linear(width, width)
        if rank is not None:
            self.map = nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, width))

    def forward(self, x0: Float[Tensor, "B I"], x: Float[Tensor, "B I"]) -> Float[Tensor, "B I"]:
        """The rows as they came into the network, and as the layer before answered."""
        return torch.addcmul(x, x0, self.map(x))


class CompressedInteraction(nn.Module):
    """Mixtures of products of whole vectors, layer by layer.

    `X_k[h, d] = sum_ij W_k[h, i, j] X_{k-1}[i, d] X_0[j, d]` for h up to the layer's width; X_0 is what comes in. Out
    come the sums over d of X_1, X_2, ..., side by side.

    Source: Lian et al. 2018, "xDeepFM: Combining Explicit and Implicit Feature Interactions for Recommender Systems",
    equations 6 and 8, with the identity as activation.

    Example:
        >>> network = CompressedInteraction(6, (4, 3))
        >>> network(torch.rand(5, 6, 8)).shape, network.width
        (torch.Size([5, 7]), 7)
    """

    def __init__(self, fields: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.width = sum(widths)
        self.layers = nn.ModuleList(nn.Linear(a * fields, b, bias=False) for a, b in pairwise((fields, *widths)))

    def forward(self, fields: Float[Tensor, "B F D"]) -> Float[Tensor, "B H"]:
        """`[B, sum of widths]`."""
        first = fields.transpose(1, 2)  # [B, D, F]
        x, found = first, []
        for layer in self.layers:
            x = layer((x[..., :, None] * first[..., None, :]).flatten(2))  # [B, D, H]
            found.append(x.sum(1))
        return torch.cat(found, 1)
