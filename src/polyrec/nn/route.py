"""The only place that loops over scenarios: rows grouped once a batch, then multiplied group by group.

A stack of routed layers reads
    route = Route(scenario, S)
    x = x[route.order]            # rows of one scenario side by side, those of unknown scenario last
    z = route.enter(x)            # [N, I]; unknown rows S times over, once for each scenario
    z = layer(z[None], route)     # [T, N, O], any number of routed layers
    y = route.leave(z)            # [T, B, O]; unknown rows: the mean over the scenarios
    logits = route.restore(y)     # the batch's own order
Work per row does not depend on S: each row meets its own scenario's weights only.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch.nn import functional

from polyrec.nn.grouped import Groups, Pair, grouped
from polyrec.shapes import Float, Int, Tensor

# Groups of at most this many rows, under weights of at most this many numbers, are padded to equal length and
# multiplied together; above, one multiplication a group is the faster (measured at 3, 30, 300 and 1000
# scenarios, 4096 rows, 250 x 128 and 2 x 64 x 32 weights).
SMALL_GROUP = 16
SMALL_WEIGHT = 8192


class Route:
    """Which rows belong to which scenario, found once a batch.

    `scenario` in [0, S), or negative where unknown. Unknown rows go through every scenario and leave with the
    mean; with `unknown = "shared"` they meet the shared weights alone, for layers that have such, and 0 in others.
    While a program is exported there are no groups: every row goes through every scenario and its own is
    picked at the end, so that no shape depends on data.

    Attributes:
        order: places the batch's rows in groups; None where they stay as they are.
        present: scenarios that have rows, largest first [P], and `sizes`, their rows.
        group: for each entered row of a known scenario its place in `present`; P for unknown, if shared.

    Example:
        >>> route = Route(torch.tensor([1, 0, -1, 1]), 2)
        >>> route.order.tolist(), route.sizes
        ([0, 3, 1, 2], (2, 1))
        >>> x = torch.tensor([[1.0], [2.0], [3.0], [4.0]])[route.order]
        >>> times = torch.tensor([10.0, 100.0]).view(2, 1, 1, 1)
        >>> y = route.leave(route.linear(route.enter(x)[None], (times, torch.zeros(2, 1, 1))))
        >>> route.restore(y).flatten().tolist()
        [100.0, 20.0, 165.0, 400.0]
    """

    order: Int[Tensor, "B"] | None
    sizes: tuple[int, ...] = ()
    matrices: tuple[int, ...] = ()  # `present` as plain numbers

    def __init__(
        self, scenario: Int[Tensor, "B"], scenarios: int, *, unknown: Literal["mean", "shared"] = "mean"
    ) -> None:
        self.scenarios, self.shared = scenarios, unknown == "shared"
        self.dense = torch.compiler.is_exporting()
        self._inverse: Tensor | None = None
        self._padding: Pair | None = None
        self._grouping: dict[int, Groups] = {}
        if self.dense:
            self._keep_order(scenario)
        else:
            self._sort(scenario)

    def _keep_order(self, scenario: Tensor) -> None:
        self.order, self.unknown = None, 0
        every = torch.arange(self.scenarios, device=scenario.device)
        own = self._own = every[:, None] == scenario[None, :]  # [S, B]
        lost = scenario < 0
        here = own.any(1) if self.shared else own.any(1) | lost.any()
        self.present = torch.nonzero(here)[:, 0]  # [P]
        share = own.index_select(0, self.present).to(torch.get_default_dtype())  # [P, B]
        lost = lost.to(share.dtype)[None]
        self._share = torch.cat([share, lost]) if self.shared else share + lost / self.scenarios
        self.group = (
            torch.arange(self._share.shape[0], device=scenario.device)[:, None].expand_as(self._share).flatten()
        )

    def _sort(self, scenario: Tensor) -> None:
        count, device = self.scenarios, scenario.device
        place = torch.where(scenario < 0, count, scenario).long()
        counts = torch.bincount(place, minlength=count + 1)
        self.present = torch.argsort(counts[:count], descending=True, stable=True)  # [S], then [P]
        rank = torch.full_like(counts, count)
        rank[self.present] = torch.arange(count, device=device)
        rows = rank[place]
        self.order = torch.argsort(rows, stable=True)
        *sizes, self.unknown = [*counts[self.present].tolist(), int(counts[count])]
        self.sizes = tuple(size for size in sizes if size)
        self.present = self.present[: len(self.sizes)]
        self.matrices = tuple(self.present.tolist())
        known = len(rows) - (0 if self.shared else self.unknown)
        self.group = rows[self.order][:known].clamp(max=len(self.sizes))

    @property
    def inverse(self) -> Int[Tensor, "B"] | None:
        """Where each row of the batch lies among the grouped ones; None where the order is unchanged."""
        if self.order is not None and self._inverse is None:
            self._inverse = torch.empty_like(self.order)
            self._inverse[self.order] = torch.arange(len(self.order), device=self.order.device)
        return self._inverse

    @property
    def known(self) -> Float[Tensor, "B S"]:
        """While a program is exported: 1 where the row is of the scenario; a row of unknown scenario has none."""
        return self._own.T.to(torch.get_default_dtype())

    def rows(self) -> tuple[Int[Tensor, "N"], Int[Tensor, "N"]]:
        """What `enter` gives as row numbers of the batch, and the scenario that each is entered for."""
        if self.order is None:
            copies, count = self.present.shape[0], self._share.shape[1]
            row = torch.arange(count, device=self.present.device)
            return row.repeat(copies), self.present[:, None].expand(-1, count).flatten()
        every = torch.arange(self.scenarios, device=self.present.device)
        known = self.order.shape[0] - self.unknown
        row = torch.cat([self.order[:known], self.order[known:].repeat(self.scenarios)])
        return row, torch.cat([self.present[self.group], every.repeat_interleave(self.unknown)])

    def enter(self, x: Float[Tensor, "B *any"]) -> Float[Tensor, "N *any"]:
        """Grouped rows, those of unknown scenario once for each scenario."""
        if self.dense:
            return x.repeat(self._share.shape[0], *(1 for _ in x.shape[1:]))
        if self.shared or not self.unknown:
            return x
        known = x.shape[0] - self.unknown
        return torch.cat([x[:known], *([x[known:]] * self.scenarios)])

    def leave(self, y: Float[Tensor, "T N O"]) -> Float[Tensor, "T B O"]:
        """One row for each row that entered: unknown rows get the mean over the scenarios."""
        if self.dense:
            every = torch.unflatten(y, 1, tuple(self._share.shape))  # [T, P, B, O]
            return (every * self._share[None, :, :, None].to(y.dtype)).sum(1)
        if self.shared or not self.unknown:
            return y
        known = y.shape[1] - self.unknown * self.scenarios
        mean = torch.unflatten(y[:, known:], 1, (self.scenarios, self.unknown)).mean(1)
        return torch.cat([y[:, :known], mean], 1)

    def restore(self, y: Float[Tensor, "T B O"]) -> Float[Tensor, "T B O"]:
        """Rows in the batch's own order."""
        return y if self.inverse is None else y.index_select(1, self.inverse)

    def linear(
        self, x: Float[Tensor, "T N I"], own: Pair, shared: Pair | None = None, *, relu: bool = False
    ) -> Float[Tensor, "T N O"]:
        """`y = x W_s + b_s` with s the row's scenario; W `[S, T, I, O]`, b `[S, T, O]`; with relu cut off below 0.

        With shared (W `[T, I, O]`, b `[T, O]`): `y = x (W * W_s) + (b + b_s)`.
        """
        plain = self.dense or self.unknown or torch.is_autocast_enabled("cpu")
        if not plain and x.is_cpu and x.shape[1]:  # in this order: an exported program knows no sizes
            return grouped(x, own, shared, self._groups(own[0]), relu=relu)
        y = self._linear(x, own, shared)
        return torch.relu(y) if relu else y

    def _linear(self, x: Tensor, own: Pair, shared: Pair | None) -> Tensor:
        if self.dense:
            own = (own[0].index_select(0, self.present), own[1].index_select(0, self.present))
            return self._all(x, own, shared, self._share.shape)
        if not x.shape[1]:  # no rows, yet a result that remembers its parameters
            return torch.matmul(x, own[0].sum(0)) + own[1].sum(0)[:, None]
        known = sum(self.sizes)
        if not self.unknown and _one_launch(x, own[0]):
            return self.launched(x, own, shared)
        small = self._small(own[0])
        large = len(self.sizes) - small
        cut = sum(self.sizes[:large])
        parts = self._large(x[:, :cut], own, shared, large)
        if small:
            parts.append(self._padded(x[:, cut:known], own, shared, small))
        if self.unknown and self.shared and shared is not None:
            parts.append(torch.baddbmm(shared[1][:, None], x[:, known:], shared[0]))
        elif self.unknown and self.shared:
            parts.append(x.new_zeros(x.shape[0], self.unknown, own[0].shape[-1]))
        elif self.unknown:
            parts.append(self._all(x[:, known:], own, shared, (self.scenarios, self.unknown)))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def products(self, x: Float[Tensor, "N I"], y: Float[Tensor, "N O"]) -> Float[Tensor, "P I O"]:
        """`sum_b x_b y_b^T` over the rows of each scenario present; rows of unknown scenario take no part."""
        known = sum(self.sizes)
        groups = (torch.split(one[:known], list(self.sizes)) for one in (x, y))
        found = [one.T @ other for one, other in zip(*groups, strict=True)]
        return torch.stack(found) if found else x.new_zeros(0, x.shape[1], y.shape[1])

    def launched(self, x: Float[Tensor, "T N I"], own: Pair, shared: Pair | None = None) -> Float[Tensor, "T N O"]:
        """`linear` in bfloat16 over rows of known scenario, all groups of a head in one kernel of a GPU."""
        chosen = (own[0].index_select(0, self.present), own[1].index_select(0, self.present))
        weight, bias = _with(chosen, shared)
        ends = torch.tensor(self.sizes, device=x.device).cumsum(0).to(torch.int32)
        half = (x.bfloat16(), weight.bfloat16())
        heads = [functional.grouped_mm(half[0][head], half[1][:, head], offs=ends) for head in range(x.shape[0])]
        return torch.stack(heads) + bias.to(torch.bfloat16).index_select(0, self.group).transpose(0, 1)

    def _groups(self, weight: Tensor) -> Groups:
        small = self._small(weight)
        if small not in self._grouping:
            padding = self._pad(small)[1] if small else None
            self._grouping[small] = Groups(self.present, self.matrices, self.sizes, len(self.sizes) - small, padding)
        return self._grouping[small]

    def _small(self, weight: Tensor) -> int:
        """How many groups, from the last, are multiplied together."""
        if weight[0, 0].numel() > SMALL_WEIGHT:
            return 0
        small = sum(size <= SMALL_GROUP for size in self.sizes)
        return small if small > 1 else 0

    def _large(self, x: Tensor, own: Pair, shared: Pair | None, count: int) -> list[Tensor]:
        """The first `count` groups, one multiplication each."""
        if not count:
            return []
        weights, biases = (self._largest(one, count) for one in own)
        groups = torch.split(x, list(self.sizes[:count]), 1)
        pairs = (_with(pair, shared) for pair in zip(weights, biases, strict=True))
        return [torch.baddbmm(bias[:, None], rows, weight) for rows, (weight, bias) in zip(groups, pairs, strict=True)]

    def _largest(self, every: Tensor, count: int) -> Sequence[Tensor]:
        """The parameters of the first `count` groups, at a cost that does not depend on S where possible."""
        if every.requires_grad and torch.is_grad_enabled() and 4 * count < self.scenarios:
            return every[self.present[:count]].unbind(0)  # a view's gradient would be as long as all scenarios
        places = self.present[:count].tolist()
        if 4 * count < self.scenarios:
            return [every[place] for place in places]
        views = every.unbind(0)
        return [views[place] for place in places]

    def _padded(self, x: Tensor, own: Pair, shared: Pair | None, count: int) -> Tensor:
        """The last `count` groups, each filled up to the longest of them, as one batched multiplication."""
        group, place = self._pad(count)
        longest = self.sizes[-count]
        weight, bias = _with((own[0][group], own[1][group]), shared)
        filled = x.new_zeros(x.shape[0], count * longest, x.shape[2]).index_copy(1, place, x)
        filled = torch.unflatten(filled, 1, (count, longest)).transpose(0, 1)  # [G, T, P, I]
        y = torch.matmul(filled, weight) + bias.unsqueeze(2)  # [G, T, P, O]
        return y.transpose(0, 1).flatten(1, 2).index_select(1, place)

    def _pad(self, count: int) -> Pair:
        """The last `count` scenarios, and where each of their rows goes."""
        if self._padding is None:
            sizes = torch.tensor(self.sizes[-count:], device=self.present.device)
            group = torch.arange(count, device=sizes.device).repeat_interleave(sizes)
            within = torch.arange(len(group), device=sizes.device) - (torch.cumsum(sizes, 0) - sizes)[group]
            self._padding = (self.present[-count:], group * self.sizes[-count] + within)
        return self._padding

    def _all(self, x: Tensor, own: Pair, shared: Pair | None, shape: Sequence[int]) -> Tensor:
        """Rows that come once for each scenario (and once for the shared weights alone), by scenario."""
        every = torch.unflatten(x, 1, tuple(shape))  # [T, S, U, I]
        weight, bias = _with(own, shared)
        if self.shared and shared is not None:
            weight, bias = torch.cat([weight, shared[0][None]]), torch.cat([bias, shared[1][None]])
        y = torch.matmul(every, weight.transpose(0, 1)) + bias.transpose(0, 1).unsqueeze(2)
        return y.flatten(1, 2)


def _with(own: Pair, shared: Pair | None) -> Pair:
    return own if shared is None else (own[0] * shared[0], own[1] + shared[1])


def _one_launch(x: Float[Tensor, "T N I"], weight: Float[Tensor, "S T I O"]) -> bool:
    """Whether a GPU multiplies all groups at once: it does so in half precision, rows of 16 bytes."""
    return x.is_cuda and torch.is_autocast_enabled("cuda") and not any(size % 8 for size in weight.shape[2:])


class Whole:
    """No grouping: the same steps as `Route` for blocks that all scenarios share."""

    order: None = None

    def enter(self, x: Float[Tensor, "B *any"]) -> Float[Tensor, "B *any"]:
        """The rows themselves."""
        return x

    def leave(self, y: Float[Tensor, "T B O"]) -> Float[Tensor, "T B O"]:
        """The rows themselves."""
        return y

    def restore(self, y: Float[Tensor, "T B O"]) -> Float[Tensor, "T B O"]:
        """The rows themselves."""
        return y
