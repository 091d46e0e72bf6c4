"""The multi-layer perceptron."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import nn

from polyrec.shapes import Float, Tensor

Activation = Literal["relu", "gelu", "silu"]
_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class MLP(nn.Module):
    """`h_l = dropout(activation(h_{l-1} W_l + b_l))` for each width; no widths: the input itself.

    Example:
        >>> import torch
        >>> mlp = MLP(8, (16, 4), dropout=0.1)
        >>> mlp(torch.rand(5, 8)).shape, mlp.width
        (torch.Size([5, 4]), 4)
    """

    def __init__(
        self, width_in: int, widths: Sequence[int], *, dropout: float = 0.0, activation: Activation = "relu"
    ) -> None:
        super().__init__()
        sizes = (width_in, *widths)
        self.width = sizes[-1]
        parts: list[nn.Module] = []
        for before, after in pairwise(sizes):
            parts += [nn.Linear(before, after), _ACTIVATIONS[activation]()]
            if dropout:
                parts.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*parts)

    def forward(self, x: Float[Tensor, "B I"]) -> Float[Tensor, "B H"]:
        """`[B, widths[-1]]`."""
        hidden: Tensor = self.layers(x)
        return hidden
