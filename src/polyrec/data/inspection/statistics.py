"""What every column holds, counted over every row in one pass and bounded memory."""

from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import polars as pl

from polyrec.data.inspection.reading import Log

SMALLEST = 16_384  # hashes kept of a column's values
ISO = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_NESTED = (pl.List, pl.Array, pl.Struct, pl.Object, pl.Binary)


@dataclass(frozen=True, slots=True)
class Column:
    """One column over all rows. Numbers are None where they make no sense for the type.

    `distinct` leaves nulls out; `skew` and `dated` come from the sample; `rising`: never falls from row to row.
    """

    name: str
    type: str
    rows: int
    nulls: int
    distinct: int | None = None
    low: Any = None
    high: Any = None
    mean: float | None = None
    skew: float | None = None
    nans: int = 0
    infinities: int = 0
    whole: bool = False  # every number is a whole one
    binary: bool = False  # 0 and 1, null allowed
    rising: bool = False
    dated: bool = False  # texts that are ISO dates or moments, whose order as texts is that in time
    length: tuple[int, int] | None = None  # shortest and longest, of lists
    examples: tuple[str, ...] = ()

    @property
    def null_share(self) -> float:
        """The share of rows without a value; NaN counts as one."""
        return (self.nulls + self.nans) / self.rows

    @property
    def constant(self) -> bool:
        """Whether every row holds the same; null beside a value tells rows apart."""
        return self.distinct == 0 or (self.distinct == 1 and not self.nulls and not self.nans)

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers (truth values are not)."""
        return self.type.startswith(("Int", "UInt", "Float", "Decimal"))

    @property
    def is_float(self) -> bool:
        """Whether it holds floating-point numbers."""
        return self.type.startswith("Float")

    @property
    def is_time(self) -> bool:
        """Whether it holds dates or moments, as such or as ISO text."""
        return self.dated or self.type.startswith(("Date", "Datetime"))

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return self.type == "String"

    @property
    def is_list(self) -> bool:
        """Whether it holds lists."""
        return self.type.startswith(("List", "Array"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        for name in ("low", "high"):
            if plain[name] is not None and not isinstance(plain[name], int | float | str | bool):
                plain[name] = str(plain[name])
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


class Tallies:
    """Counts of every column that grow block by block and stay small.

    Distinct values are counted by the smallest `SMALLEST` of their hashes (a KMV sketch): exactly while there
    are fewer, after that as (SMALLEST - 1) / (largest kept hash as a share of all hashes), within about 1 %.
    """

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Any]] = {}
        self._hashes: dict[str, np.ndarray[Any, Any]] = {}

    def see(self, frame: pl.DataFrame) -> None:
        """Add a block of rows."""
        wanted = {name: _expressions(name, kind) for name, kind in frame.schema.items()}
        made = frame.select([one for expressions in wanted.values() for one in expressions]).row(0, named=True)
        for name in wanted:
            self._found[name] = _merged(self._found.get(name, {}), _of(name, made))
        hashable = [name for name, kind in frame.schema.items() if not isinstance(kind, (*_NESTED, pl.Null))]
        hashes = frame.select(pl.col(name).drop_nulls().unique().hash(0).implode() for name in hashable)
        for name in hashable:
            fresh = hashes[name][0].to_numpy()
            self._hashes[name] = np.unique(np.append(self._hashes.get(name, fresh[:0]), fresh))[:SMALLEST]

    def columns(self, log: Log) -> tuple[Column, ...]:
        """The statistics of all rows seen; skew and examples from the sample."""
        return tuple(self._column(name, kind, log) for name, kind in log.sample.schema.items())

    def _distinct(self, name: str) -> int | None:
        kept = self._hashes.get(name)
        if kept is None:
            return 0 if self._found[name]["nulls"] else None
        return len(kept) if len(kept) < SMALLEST else round((SMALLEST - 1) / (float(kept[-1]) * 2.0**-64))

    def _column(self, name: str, kind: pl.DataType, log: Log) -> Column:
        found = self._found[name]
        number, nulls = kind.is_numeric(), found["nulls"]
        listed = isinstance(kind, pl.List | pl.Array)
        counted = found.get("count") or 0
        return Column(
            name=name,
            type=str(kind),
            rows=log.rows,
            nulls=nulls,
            distinct=None if isinstance(kind, _NESTED) else self._distinct(name),
            low=found.get("low"),
            high=found.get("high"),
            mean=found["sum"] / counted if number and counted else None,
            skew=_skew(log.sample[name]) if number else None,
            nans=found.get("nans", 0),
            infinities=found.get("infinities", 0),
            whole=kind.is_integer() or (kind.is_float() and counted > 0 and not found["fractions"]),
            binary=kind == pl.Boolean or (number and counted > 0 and not found["odd"] and not found.get("infinities")),
            rising=name in log.rising,
            dated=kind == pl.String and _dated(log.sample[name]),
            length=(found["low"] or 0, found["high"] or 0) if listed else None,
            examples=_examples(log.sample[name]),
        )


def _of(name: str, made: dict[str, Any]) -> dict[str, Any]:
    return {key.removesuffix(f" {name}"): value for key, value in made.items() if key.split(" ", 1)[1] == name}


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = {}
    for what, value in new.items():
        before = old.get(what)
        if before is None or value is None:
            merged[what] = value if before is None else before
        else:
            merged[what] = (
                min(before, value) if what == "low" else max(before, value) if what == "high" else before + value
            )
    return merged


def _expressions(name: str, kind: pl.DataType) -> list[pl.Expr]:
    """Numbers of a block that add up (or whose smallest and largest count) over blocks."""
    column = pl.col(name)
    found = {"nulls": column.null_count()}
    if isinstance(kind, pl.List | pl.Array):
        sizes = column.list.len() if isinstance(kind, pl.List) else pl.lit(kind.size)
        found |= {"low": sizes.min(), "high": sizes.max()}
    elif not isinstance(kind, (*_NESTED, pl.Null)):
        finite = column
        if kind.is_float():
            finite = column.filter(column.is_finite())
            found |= {"nans": column.is_nan().sum(), "infinities": column.is_infinite().sum()}
            found["fractions"] = (finite != finite.round()).sum()
        if kind.is_numeric():
            found |= {"sum": finite.cast(pl.Float64).sum(), "count": finite.count()}
            found["odd"] = ((finite != 0) & (finite != 1)).sum()
        found |= {"low": finite.min(), "high": finite.max()}
    return [expression.alias(f"{what} {name}") for what, expression in found.items()]


def _dated(column: pl.Series) -> bool:
    texts = column.drop_nulls()
    if not len(texts) or not texts.str.contains(ISO).all():
        return False
    return texts.str.extract(ISO, 1).n_unique() == 1  # of several zones, the order of texts is not that in time


def _skew(column: pl.Series) -> float | None:
    numbers = column.cast(pl.Float64)
    skew: Any = numbers.filter(numbers.is_finite()).skew()
    return None if skew is None or isnan(skew) else float(skew)


def _examples(column: pl.Series) -> tuple[str, ...]:
    """The three most frequent values of the sample; a list shows its beginning."""
    if isinstance(column.dtype, pl.List | pl.Array | pl.Struct | pl.Object | pl.Binary):
        return tuple(_short(value) for value in column.drop_nulls().head(1).to_list())
    counts = column.drop_nulls().value_counts(name="_count").sort(["_count", column.name], descending=[True, False])
    return tuple(_short(value) for value in counts[column.name].head(3).to_list())


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"
