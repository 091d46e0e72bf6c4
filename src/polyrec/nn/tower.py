"""Towers: from a hidden state to one logit, for each head and, if asked, each scenario."""

from typing import Literal

from torch import nn

from polyrec.nn.route import Route, Whole
from polyrec.nn.routed import RoutedMLP
from polyrec.nn.stacked import StackedMLP
from polyrec.shapes import Float, Tensor

Per = Literal["cell", "task"]


class Towers(nn.Module):
    """`logit_t = MLP_t(h_t)`, its last layer linear and of width 1; with `scenarios`, MLP of the row's scenario.

    All towers have one shape and run as one batched multiplication a layer.

    Example:
        >>> import torch
        >>> Towers(8, (4,), heads=2)(torch.rand(2, 5, 8), Whole()).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        width_in: int,
        widths: tuple[int, ...],
        *,
        heads: int,
        scenarios: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.network: RoutedMLP | StackedMLP
        ends = (*widths, 1)
        if scenarios is None:
            self.network = StackedMLP(heads, width_in, ends, dropout=dropout, linear_end=True)
        else:
            self.network = RoutedMLP(width_in, ends, scenarios, heads=heads, dropout=dropout, linear_end=True)

    def forward(self, hidden: Float[Tensor, "T N H"], route: Route | Whole) -> Float[Tensor, "T N"]:
        """Logits of rows as `route.enter` gave them."""
        if isinstance(self.network, RoutedMLP):
            assert isinstance(route, Route)
            y: Tensor = self.network(hidden, route)
        else:
            y = self.network(hidden)
        return y[..., 0]
