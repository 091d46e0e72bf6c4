"""Experts: one batched weight, so that adding experts adds no Python."""

from torch import nn

from polyrec.nn.stacked import StackedMLP
from polyrec.shapes import Float, Tensor


class Experts(nn.Module):
    """E networks that read the same rows: `h_e = MLP_e(x)`.

    Their first layer is one wide multiplication, the others batched ones.

    Example:
        >>> import torch
        >>> Experts(4, 8, (16, 6))(torch.rand(5, 8)).shape
        torch.Size([5, 4, 6])
    """

    def __init__(self, count: int, width_in: int, widths: tuple[int, ...], *, dropout: float = 0.0) -> None:
        super().__init__()
        self.count, self.width = count, widths[-1]
        self.networks = StackedMLP(count, width_in, widths, dropout=dropout)

    def forward(self, x: Float[Tensor, "*E B I"]) -> Float[Tensor, "B E H"]:
        """Each expert's answer: rows shared by all experts `[B, I]`, or rows of their own `[E, B, I]`."""
        hidden: Tensor = self.networks(x)
        return hidden.transpose(0, 1).contiguous()  # mixing reads all experts of a row together
