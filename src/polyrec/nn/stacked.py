"""K linear layers side by side, as one multiplication."""

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from polyrec.shapes import Float, Tensor


class StackedLinear(nn.Module):
    """K affine maps of the same shape: `y_k = x_k W_k + b_k`, with `relu` cut off below 0.

    An input that all K share, `[B, I]`, is multiplied once with the K matrices side by side. On a CPU the answers of
    a row lie together in memory (`[B, K, O]`), and so do their gradients: nothing is copied on the way.

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

    def forward(self, x: Float[Tensor, "*K B I"], *, relu: bool = False) -> Float[Tensor, "K B O"]:
        """Every map of its own input, or all of the shared one."""
        if x.is_cpu and not (torch.compiler.is_exporting() or torch.is_autocast_enabled("cpu")):
            y: Tensor = _Stacked.apply(x, self.weight, self.bias, relu)  # type: ignore[no-untyped-call]
            return y
        if x.dim() == 3:
            y = torch.baddbmm(self.bias[:, None, :], x, self.weight)
        else:
            y = torch.addmm(self.bias.flatten(), x, _wide(self.weight))  # [B, K*O]
            y = torch.unflatten(y, 1, tuple(self.bias.shape)).transpose(0, 1)
        return torch.relu_(y) if relu else y

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return ", ".join(str(size) for size in self.weight.shape)


class _Stacked(torch.autograd.Function):
    """The same on a CPU, every result written where the next product reads it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        if x.dim() == 3:
            y = _empty(x, weight.shape[2])
            for place, rows in enumerate(x):
                torch.addmm(bias[place], rows, weight[place], out=y[place])
        else:
            wide = torch.addmm(bias.flatten(), x, _wide(weight))
            y = torch.unflatten(wide, 1, tuple(bias.shape)).transpose(0, 1)
        if relu:
            y.relu_()
        ctx.save_for_backward(x, weight, y if relu else None)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y = ctx.saved_tensors
        by_row = dy.transpose(0, 1).contiguous()  # [B, K, O]; a copy only where somebody gave another layout
        if y is not None:
            by_row = torch.ops.aten.threshold_backward(by_row, y.transpose(0, 1), 0)
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        dx = dweight = None
        if x.dim() == 3:
            dx, dweight = _each(x, weight, by_row.transpose(0, 1), needs_x, needs_weight)
        else:
            flat = by_row.flatten(1)  # [B, K*O]
            dx = flat @ _wide(weight).T if needs_x else None
            if needs_weight:
                dweight = torch.unflatten(x.T @ flat, 1, tuple(weight.shape[::2])).transpose(0, 1).contiguous()
        return dx, dweight, by_row.sum(0) if needs_bias else None, None


def _each(
    x: Float[Tensor, "K B I"], weight: Float[Tensor, "K I O"], dy: Float[Tensor, "K B O"], needs_x: bool, needs_w: bool
) -> tuple[Tensor | None, Tensor | None]:
    dx = _empty(x, x.shape[2]) if needs_x else None
    dweight = torch.empty_like(weight) if needs_w else None
    for place, rows in enumerate(dy):
        if dx is not None:
            torch.mm(rows, weight[place].T, out=dx[place])
        if dweight is not None:
            torch.mm(x[place].T, rows, out=dweight[place])
    return dx, dweight


def _empty(x: Float[Tensor, "K B I"], width: int) -> Float[Tensor, "K B O"]:
    """Room for answers, a row's side by side."""
    return x.new_empty(x.shape[1], x.shape[0], width).transpose(0, 1)


def _wide(weight: Float[Tensor, "K I O"]) -> Float[Tensor, "I KO"]:
    """The K matrices side by side."""
    return weight.transpose(0, 1).reshape(weight.shape[1], -1)


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
            end = self.linear_end and place == len(self.layers) - 1
            x = layer(x, relu=not end)
            x = x if end else self.dropout(x)
        return x
