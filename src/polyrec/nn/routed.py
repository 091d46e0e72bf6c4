"""Layers whose weights belong to the row's scenario."""

from itertools import pairwise

import torch
from torch import nn

from polyrec.nn.route import Route
from polyrec.shapes import Float, Tensor


class RoutedLinear(nn.Module):
    """One affine map a scenario (and head): `y = x W_s + b_s`, weight `[S, T, I, O]`.

    Example:
        >>> layer = RoutedLinear(8, 4, 3)
        >>> route = Route(torch.tensor([2, 0, 2]), 3)
        >>> layer(route.enter(torch.rand(3, 8))[None], route).shape
        torch.Size([1, 3, 4])
    """

    def __init__(self, width_in: int, width_out: int, scenarios: int, *, heads: int = 1, bias: bool = True) -> None:
        super().__init__()
        bound = width_in**-0.5
        self.weight = nn.Parameter(torch.empty(scenarios, heads, width_in, width_out).uniform_(-bound, bound))
        start = torch.empty(scenarios, heads, width_out)
        if bias:
            self.bias: Tensor = nn.Parameter(start.uniform_(-bound, bound))
        else:
            self.register_buffer("bias", start.zero_(), persistent=False)

    def forward(self, x: Float[Tensor, "T N I"], route: Route, *, relu: bool = False) -> Float[Tensor, "T N O"]:
        """Rows as `route.enter` gave them, or as another routed layer answered."""
        return route.linear(x, (self.weight, self.bias), relu=relu)

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return ", ".join(str(size) for size in self.weight.shape)


class RoutedMLP(nn.Module):
    """One multi-layer perceptron a scenario (and head); activation after every layer but, if asked, the last.

    Example:
        >>> towers = RoutedMLP(8, (16, 1), 3, heads=2, linear_end=True)
        >>> route = Route(torch.tensor([2, 0, 2]), 3)
        >>> rows = route.enter(torch.rand(3, 8)).expand(2, -1, -1)
        >>> route.leave(towers(rows, route)).shape
        torch.Size([2, 3, 1])
    """

    def __init__(
        self,
        width_in: int,
        widths: tuple[int, ...],
        scenarios: int,
        *,
        heads: int = 1,
        dropout: float = 0.0,
        linear_end: bool = False,
    ) -> None:
        super().__init__()
        sizes = (width_in, *widths)
        self.layers = nn.ModuleList(RoutedLinear(a, b, scenarios, heads=heads) for a, b in pairwise(sizes))
        self.dropout = nn.Dropout(dropout)
        self.linear_end = linear_end

    def forward(self, x: Float[Tensor, "T N I"], route: Route) -> Float[Tensor, "T N O"]:
        """`[T, N, widths[-1]]`."""
        for place, layer in enumerate(self.layers):
            end = self.linear_end and place == len(self.layers) - 1
            x = layer(x, route, relu=not end)
            x = x if end else self.dropout(x)
        return x


class RoutedExperts(nn.Module):
    """E networks a scenario that read the same rows: `h_e = MLP_se(x)`, activation after every layer.

    Their first layer is one wide multiplication, the others batched ones.

    Example:
        >>> experts = RoutedExperts(8, (16, 6), 3, count=4)
        >>> route = Route(torch.tensor([2, 0, 2]), 3)
        >>> experts(route.enter(torch.rand(3, 8)), route).shape
        torch.Size([4, 3, 6])
    """

    def __init__(
        self, width_in: int, widths: tuple[int, ...], scenarios: int, *, count: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.count = count
        self.first = RoutedLinear(width_in, count * widths[0], scenarios)
        self.rest = RoutedMLP(widths[0], widths[1:], scenarios, heads=count, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "N I"], route: Route) -> Float[Tensor, "E N H"]:
        """Rows as `route.enter` gave them."""
        wide = self.dropout(self.first(x[None], route, relu=True))[0]  # [N, E*H]
        hidden: Tensor = self.rest(torch.unflatten(wide, 1, (self.count, -1)).transpose(0, 1), route)
        return hidden


class StarLinear(nn.Module):
    """`y = x (W * W_s) + (b + b_s)`: shared weights times the scenario's own, for each of T heads.

    The own part starts at `W_s = 1, b_s = 0`; rows of unknown scenario meet the shared part alone.

    Source: Sheng et al. 2021, equation 7.

    Example:
        >>> layer = StarLinear(8, 4, 3)
        >>> route = Route(torch.tensor([2, 0, -1]), 3, unknown="shared")
        >>> layer(route.enter(torch.rand(3, 8))[None], route).shape
        torch.Size([1, 3, 4])
    """

    def __init__(self, width_in: int, width_out: int, scenarios: int, *, heads: int = 1) -> None:
        super().__init__()
        bound = width_in**-0.5
        self.weight = nn.Parameter(torch.empty(heads, width_in, width_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(heads, width_out))
        self.own_weight = nn.Parameter(torch.ones(scenarios, heads, width_in, width_out))
        self.own_bias = nn.Parameter(torch.zeros(scenarios, heads, width_out))

    def forward(self, x: Float[Tensor, "T N I"], route: Route, *, relu: bool = False) -> Float[Tensor, "T N O"]:
        """Rows as `route.enter` gave them, `route` made with `unknown = "shared"`."""
        return route.linear(x, (self.own_weight, self.own_bias), (self.weight, self.bias), relu=relu)
