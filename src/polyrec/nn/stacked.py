"""K linear layers side by side, as one multiplication."""

from itertools import pairwise

import torch
from torch import nn

from polyrec.shapes import Float, Tensor


class StackedLinear(nn.Module):
    """K affine maps of the same shape: `y_k = x_k W_k + b_k`.

    An input that all K share, `[B, I]`, is multiplied once with the K matrices side by side.

    Example:
        >>> layer = StackedLinear(3, 8, 4)
        >>> layer(torch.rand(5, 8)).shape, layer(torch.rand(3, 5, 8)).shape
        (torch.Size([3, 5, 4]), torch.Size([3, 5, 4]))
    """

    def __init__(self, count: int, width_in: int, width_out: int) -> None:
        super().__init__()
        bound = width_in**-0.5
        self.weight = nn.Parameter(torch.empty(count, width_in, width_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, width_out).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "*K B I"]) -> Float[Tensor, "K B O"]:
        """Every map of its own input, or all of the shared one."""
        count, width_in, width_out = self.weight.shape
        if x.dim() == 3:
            return torch.baddbmm(self.bias[:, None, :], x, self.weight)
        wide = self.weight.transpose(0, 1).reshape(width_in, count * width_out)
        y = torch.addmm(self.bias.flatten(), x, wide)  # [B, K*O]
        return torch.unflatten(y, 1, (count, width_out)).transpose(0, 1)

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return ", ".join(str(size) for size in self.weight.shape)


class StackedMLP(nn.Module):
    """K multi-layer perceptrons of the same shape, activation after every layer but, if asked, the last.

    Example:
        >>> StackedMLP(2, 8, (16, 4))(torch.rand(5, 8)).shape
        torch.Size([2, 5, 4])
    """

    def __init__(
        self, count: int, width_in: int, widths: tuple[int, ...], *, dropout: float = 0.0, linear_end: bool = False
    ) -> None:
        super().__init__()
        sizes = (width_in, *widths)
        self.layers = nn.ModuleList(StackedLinear(count, a, b) for a, b in pairwise(sizes))
        self.dropout = nn.Dropout(dropout)
        self.linear_end = linear_end

    def forward(self, x: Float[Tensor, "*K B I"]) -> Float[Tensor, "K B O"]:
        """`[K, B, widths[-1]]`."""
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if not (self.linear_end and place == len(self.layers) - 1):
                x = self.dropout(torch.relu_(x))
        return x
