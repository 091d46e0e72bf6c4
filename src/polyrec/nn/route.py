"""The only place that loops over scenarios: rows grouped once a batch, then multiplied group by group.

A stack of routed layers reads
    route = Route(scenario, S)
    x = x[route.order]            # rows of one scenario side by side
    z = route.enter(x[None])      # [T, N, I]; rows of unknown scenario S times over, once for each scenario
    z = layer(z, route)           # any number of routed layers
    y = route.leave(z)            # [T, B, O]; unknown rows: the mean over the scenarios
    logits = route.restore(y)     # the batch's own order
Work per row does not depend on S: each row meets its own scenario's weights only.
"""

import torch
from torch import nn

from polyrec.shapes import Float, Int, Tensor

# Groups of at most this many rows, under weights of at most this many numbers, are padded to equal length and
# multiplied together; above, one multiplication a group is the faster (measured at 3, 30, 300 and 1000
# scenarios, 4096 rows, 250 x 128 and 2 x 64 x 32 weights).
SMALL_GROUP = 16
SMALL_WEIGHT = 8192


class Route:
    """Which rows belong to which scenario, found once a batch.

    `scenario` in [0, S), or negative where unknown. While a program is exported there are no groups: every row
    goes through every scenario and its own is picked at the end, which has no shape that depends on data.

    Example:
        >>> route = Route(torch.tensor([1, 0, -1, 1]), 2)
        >>> route.order.tolist(), route.sizes
        ([0, 3, 1, 2], (2, 1))
        >>> x = torch.tensor([[1.0], [2.0], [3.0], [4.0]])[route.order]
        >>> times = torch.tensor([10.0, 100.0]).view(2, 1, 1, 1)
        >>> y = route.leave(route.linear(route.enter(x[None]), times, torch.zeros(2, 1, 1)))
        >>> route.restore(y).flatten().tolist()
        [100.0, 20.0, 165.0, 400.0]
    """

    order: Int[Tensor, "B"] | None
    sizes: tuple[int, ...]

    def __init__(self, scenario: Int[Tensor, "B"], scenarios: int) -> None:
        self.scenarios = scenarios
        self.dense = torch.compiler.is_exporting()
        if self.dense:
            self.order, self.sizes, self.unknown = None, (), 0
            one = torch.arange(scenarios, device=scenario.device)[:, None] == scenario[None, :]  # [S, B]
            self._share = torch.where(scenario < 0, 1.0 / scenarios, one.to(torch.get_default_dtype()))
            self.present = torch.arange(scenarios, device=scenario.device)
            return
        place = torch.where(scenario < 0, scenarios, scenario).long()
        counts = torch.bincount(place, minlength=scenarios + 1)
        self.unknown = int(counts[scenarios])
        known = counts[:scenarios]
        by_size = torch.argsort(known, descending=True, stable=True)  # [S], largest first
        rank = torch.empty(scenarios + 1, dtype=torch.long, device=scenario.device)
        rank[by_size] = torch.arange(scenarios, device=scenario.device)
        rank[scenarios] = scenarios
        self.order = torch.argsort(rank[place], stable=True)
        self.sizes = tuple(size for size in known[by_size].tolist() if size)
        self.present = by_size[: len(self.sizes)]
        self._inverse: Tensor | None = None
        self._padding: tuple[int, Tensor, int] | None = None

    @property
    def inverse(self) -> Int[Tensor, "B"] | None:
        """Where each row of the batch lies among the grouped ones; None where the order is unchanged."""
        if self.order is not None and self._inverse is None:
            self._inverse = torch.empty_like(self.order)
            self._inverse[self.order] = torch.arange(len(self.order), device=self.order.device)
        return self._inverse if self.order is not None else None

    def enter(self, x: Float[Tensor, "T B I"]) -> Float[Tensor, "T N I"]:
        """Grouped rows, those of unknown scenario once for each scenario."""
        if self.dense:
            return x.repeat(1, self.scenarios, 1)
        if not self.unknown:
            return x
        known = x.shape[1] - self.unknown
        return torch.cat([x[:, :known], x[:, known:].repeat(1, self.scenarios, 1)], 1)

    def leave(self, y: Float[Tensor, "T N O"]) -> Float[Tensor, "T B O"]:
        """One row for each row that entered: unknown rows get the mean over the scenarios."""
        if self.dense:
            every = y.unflatten(1, (self.scenarios, -1))  # [T, S, B, O]
            return (every * self._share[None, :, :, None].to(y.dtype)).sum(1)
        if not self.unknown:
            return y
        known = y.shape[1] - self.unknown * self.scenarios
        mean = y[:, known:].unflatten(1, (self.scenarios, self.unknown)).mean(1)
        return torch.cat([y[:, :known], mean], 1)

    def restore(self, y: Float[Tensor, "T B O"]) -> Float[Tensor, "T B O"]:
        """Rows in the batch's own order."""
        return y if self.inverse is None else y.index_select(1, self.inverse)

    def linear(
        self, x: Float[Tensor, "T N I"], weight: Float[Tensor, "S T I O"], bias: Float[Tensor, "S T O"]
    ) -> Float[Tensor, "T N O"]:
        """`y = x W_s + b_s` with s the row's scenario."""
        if self.dense:
            return self._all(x, weight, bias)
        known = sum(self.sizes)
        small = self._small(weight)
        cut = sum(self.sizes[: len(self.sizes) - small])
        parts = self._large(x[:, :cut], weight, bias, len(self.sizes) - small)
        if small:
            parts.append(self._padded(x[:, cut:known], weight, bias, small))
        if self.unknown or not parts:
            parts.append(self._all(x[:, known:], weight, bias))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _small(self, weight: Tensor) -> int:
        """How many groups, from the last, are multiplied together."""
        if weight[0, 0].numel() > SMALL_WEIGHT:
            return 0
        small = sum(size <= SMALL_GROUP for size in self.sizes)
        return small if small > 1 else 0

    def _large(self, x: Tensor, weight: Tensor, bias: Tensor, count: int) -> list[Tensor]:
        if not count:
            return []
        if count < self.scenarios:
            weight, bias = weight[self.present[:count]], bias[self.present[:count]]
            chosen: list[int] = list(range(count))
        else:
            chosen = self.present.tolist()
        weights, biases = weight.unbind(0), bias.unsqueeze(2).unbind(0)
        groups = x.split(list(self.sizes[:count]), 1)
        return [
            torch.baddbmm(biases[place], group, weights[place])
            for place, group in zip(chosen, groups, strict=True)
        ]

    def _padded(self, x: Tensor, weight: Tensor, bias: Tensor, count: int) -> Tensor:
        """The last `count` groups, each filled up to the longest of them, as one batched multiplication."""
        heads, _, width = x.shape
        longest, place, total = self._pad(count)
        filled = x.new_zeros(heads, total, width).index_copy(1, place, x)
        filled = filled.unflatten(1, (count, longest)).transpose(0, 1)  # [G, T, P, I]
        chosen = self.present[-count:]
        y = torch.matmul(filled, weight[chosen]) + bias[chosen].unsqueeze(2)  # [G, T, P, O]
        return y.transpose(0, 1).flatten(1, 2).index_select(1, place)

    def _pad(self, count: int) -> tuple[int, Tensor, int]:
        if self._padding is None:
            sizes = torch.tensor(self.sizes[-count:], device=self.present.device)
            longest = self.sizes[-count]
            group = torch.arange(count, device=sizes.device).repeat_interleave(sizes)
            first = (torch.cumsum(sizes, 0) - sizes)[group]
            place = group * longest + torch.arange(len(group), device=sizes.device) - first
            self._padding = (longest, place, count * longest)
        return self._padding

    def _all(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Rows that come S times over, by scenario."""
        rows = x.shape[1] // self.scenarios if self.dense else self.unknown
        every = x.unflatten(1, (self.scenarios, rows))  # [T, S, U, I]
        y = torch.matmul(every, weight.transpose(0, 1)) + bias.transpose(0, 1).unsqueeze(2)
        return y.flatten(1, 2)


class Whole:
    """No grouping: the same steps as `Route` for blocks that all scenarios share."""

    order: None = None

    def enter(self, x: Float[Tensor, "T B I"]) -> Float[Tensor, "T B I"]:
        """The rows themselves."""
        return x

    def leave(self, y: Float[Tensor, "T B O"]) -> Float[Tensor, "T B O"]:
        """The rows themselves."""
        return y

    def restore(self, y: Float[Tensor, "T B O"]) -> Float[Tensor, "T B O"]:
        """The rows themselves."""
        return y


class RoutedLinear(nn.Module):
    """One affine map a scenario (and head): `y = x W_s + b_s`, weight `[S, T, I, O]`.

    Example:
        >>> layer = RoutedLinear(8, 4, 3)
        >>> route = Route(torch.tensor([2, 0, 2]), 3)
        >>> layer(route.enter(torch.rand(1, 3, 8)), route).shape
        torch.Size([1, 3, 4])
    """

    def __init__(self, width_in: int, width_out: int, scenarios: int, *, heads: int = 1) -> None:
        super().__init__()
        bound = width_in**-0.5
        self.weight = nn.Parameter(torch.empty(scenarios, heads, width_in, width_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(scenarios, heads, width_out).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "T N I"], route: Route) -> Float[Tensor, "T N O"]:
        """Rows as `route.enter` gave them, or as another routed layer answered."""
        return route.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return ", ".join(str(size) for size in self.weight.shape)


class RoutedMLP(nn.Module):
    """One multi-layer perceptron a scenario (and head); activation after every layer but, if asked, the last.

    Example:
        >>> towers = RoutedMLP(8, (16, 1), 3, heads=2, linear_end=True)
        >>> route = Route(torch.tensor([2, 0, 2]), 3)
        >>> route.leave(towers(route.enter(torch.rand(2, 3, 8)), route)).shape
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
        self.layers = nn.ModuleList(
            RoutedLinear(a, b, scenarios, heads=heads) for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.dropout = nn.Dropout(dropout)
        self.linear_end = linear_end

    def forward(self, x: Float[Tensor, "T N I"], route: Route) -> Float[Tensor, "T N O"]:
        """`[T, N, widths[-1]]`."""
        for place, layer in enumerate(self.layers):
            x = layer(x, route)
            if not (self.linear_end and place == len(self.layers) - 1):
                x = self.dropout(torch.relu(x))
        return x
