"""From a batch to one row of numbers each: embeddings, pooled sequences, numbers, vectors, scenario."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Len, Lt
from torch import nn
from torch.nn import functional

from polyrec.batch import Batch, Field, Layout
from polyrec.declare import STRICT
from polyrec.errors import ConfigError, unknown
from polyrec.nn.embedding import FusedEmbedding
from polyrec.nn.numeric import PiecewiseLinear
from polyrec.nn.table import INIT_STD
from polyrec.schema import Side
from polyrec.shapes import Float, Int, Tensor

Count = Annotated[int, Ge(1)]
Widths = tuple[Count, ...]
Hidden = Annotated[Widths, Len(1)]  # at least one layer
Rate = Annotated[float, Ge(0.0), Lt(1.0)]


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Options that every model has."""

    __pydantic_config__ = STRICT
    dim: Count = 16  # D, width of an embedding whose feature does not set its own
    numeric: Literal["plain", "piecewise"] = "plain"  # how numbers enter; piecewise: those known to lie in [0, 1]
    bins: Count = 16  # K of piecewise
    tables: Literal["sparse", "dense"] = "sparse"  # gradients of embedding tables


class Inputs(nn.Module):
    """`x = [embeddings, mean of each sequence's embeddings, numbers, vectors, scenario embedding]`.

    A row of unknown scenario reads the mean of the scenarios' embeddings. An empty sequence is 0.

    Args:
        layout: what a batch holds.
        options: widths and encodings.
        scenario: whether the scenario is a feature.
        copies: all parameters exist this many times over, and rows name the copy they read (no scenario feature).

    Attributes:
        width: numbers a row.
        raw: features that enter as they are, as numbers and not as embeddings.

    Raises:
        ConfigError: the layout has no feature.

    Example:
        >>> from polyrec.schema import Task
        >>> layout = Layout(("a", "b"), (Task("click", "c"),), categorical=(Field("item", 9),))
        >>> Inputs(layout, InputOptions(dim=4)).width
        8
    """

    def __init__(self, layout: Layout, options: InputOptions, *, scenario: bool = True, copies: int = 1) -> None:
        super().__init__()
        self.layout = layout
        fields = (*layout.categorical, *layout.sequences)
        if not (fields or layout.numeric or layout.vectors):
            raise ConfigError("the layout has no feature: a model would have nothing to read. Declare [[features]].")
        self._columns: list[tuple[str, Side | None, int]] = []
        self._add_embedding(fields, options, copies)
        self._add_numbers(options, copies)
        self.scenario: nn.Parameter | None = None
        if scenario:
            self.scenario = nn.Parameter(torch.randn(len(layout.scenarios), options.dim) * INIT_STD)
            self._columns.append(("scenario", None, options.dim))
        self.width = sum(width for _, _, width in self._columns)

    def _add_embedding(self, fields: tuple[Field, ...], options: InputOptions, copies: int) -> None:
        places = {one.name: place for place, one in enumerate(fields)}
        owners = [places[one.table] if one.table else places[one.name] for one in fields]
        dims = [fields[owner].dim or options.dim for owner in owners]
        self.embedding = FusedEmbedding(
            [one.size for one in fields], dims, owners=owners, copies=copies, sparse=options.tables == "sparse"
        )
        singles = len(self.layout.categorical)
        self._singles, self._sequences = list(range(singles)), list(range(singles, len(fields)))
        for part in (self._singles, self._sequences):
            for dim, members in self.embedding.groups(part).items():
                self._columns += [(fields[place].name, fields[place].side, dim) for place in members]

    def _add_numbers(self, options: InputOptions, copies: int) -> None:
        numeric = self.layout.numeric
        curved = [place for place, one in enumerate(numeric) if one.unit and options.numeric == "piecewise"]
        plain = [place for place in range(len(numeric)) if place not in curved]
        self._curved, self._plain = curved, plain
        self.piecewise: PiecewiseLinear | None = None
        if curved:
            self.piecewise = PiecewiseLinear(len(curved), options.dim, bins=options.bins, copies=copies)
        self._columns += [(numeric[place].name, numeric[place].side, options.dim) for place in curved]
        self._columns += [(numeric[place].name, numeric[place].side, 1) for place in plain]
        self._columns += [(one.name, one.side, one.size) for one in self.layout.vectors]
        self.raw = frozenset([numeric[place].name for place in plain] + [one.name for one in self.layout.vectors])

    @property
    def parts(self) -> list[tuple[str, int]]:
        """Each feature and how many columns of x it has, in order; `"scenario"` last, where it is one."""
        return [(name, width) for name, _, width in self._columns]

    def columns(self, *, sides: Iterable[Side] = (), names: Iterable[str] = ()) -> list[int]:
        """Columns of x that belong to features of these sides or names (`"scenario"`: its embedding).

        Raises:
            ConfigError: a name that no feature has.
        """
        known = [name for name, _, _ in self._columns]
        wanted, sides = set(names), set(sides)
        for name in sorted(wanted - set(known)):
            raise ConfigError(unknown("feature", name, known, "among the model's inputs"))
        found: list[int] = []
        start = 0
        for name, side, width in self._columns:
            if name in wanted or side in sides:
                found += range(start, start + width)
            start += width
        return found

    def forward(
        self, batch: Batch, order: Int[Tensor, "B"] | None = None, copy: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B W"]:
        """One row of `width` numbers for each row of the batch, in the order asked for."""
        parts: list[Tensor] = []
        if self._singles:
            parts += self.embedding(_ordered(batch.ids, order), self._singles, copy)
        if self._sequences:
            parts += self._pooled(batch, order, copy)
        parts += self._numbers(batch, order, copy)
        if self.scenario is not None:
            parts.append(self.scenario_embedding(_ordered(batch.scenario, order)))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def _pooled(self, batch: Batch, order: Tensor | None, copy: Tensor | None) -> list[Tensor]:
        bags = [batch.sequences[one.name] for one in self.layout.sequences]
        rows, after = batch.scenario.shape[0], order
        if copy is not None and order is not None:  # rows read different tables: they must be in place before
            bags, rows, after = [one.select(order) for one in bags], order.shape[0], None
        values = [(one.values, one.offsets) for one in bags]
        return [_ordered(one, after) for one in self.embedding.pooled(values, self._sequences, rows, copy)]

    def scenario_embedding(self, scenario: Int[Tensor, "B"]) -> Float[Tensor, "B D"]:
        """The scenario's row; the mean of all rows where it is unknown."""
        assert self.scenario is not None
        return by_scenario(self.scenario, scenario)

    def _numbers(self, batch: Batch, order: Tensor | None, copy: Tensor | None) -> list[Tensor]:
        parts = []
        if self._curved or self._plain:
            numerics = _ordered(batch.numerics, order)
            if self.piecewise is not None:
                parts.append(self.piecewise(numerics[:, self._curved] if self._plain else numerics, copy))
            if self._plain:
                parts.append(numerics[:, self._plain] if self._curved else numerics)
        return parts + [_ordered(batch.vectors[one.name], order) for one in self.layout.vectors]


def by_scenario(table: Float[Tensor, "S D"], scenario: Int[Tensor, "B"]) -> Float[Tensor, "B D"]:
    """The scenario's row of a table; the mean of all rows where it is unknown."""
    rows = functional.embedding(scenario.clamp(min=0), table)  # [B, D]
    return torch.where((scenario < 0)[:, None], table.mean(0), rows)


def _ordered(x: Tensor, order: Tensor | None) -> Tensor:
    return x if order is None else x.index_select(0, order)
