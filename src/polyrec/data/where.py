"""Which rows of some files belong: conditions that stream, and that JSON can hold."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.data.content import Content
from polyrec.data.hashing import ABSENT, fraction, hash_keys, splitmix64
from polyrec.data.keys import is_text, read_keys
from polyrec.data.parquet import Known
from polyrec.errors import ConfigError, DataError

Bound = int | float | str | None


@dataclass(frozen=True, slots=True)
class Between:
    """Rows with low <= column < high. A null is never between.

    Bounds are in the column's own units: numbers, texts compared as texts, ISO dates and times for dates and
    times; a whole number for a date or time column is the stored count since 1970.

    Example:
        >>> Between("week", 3, None).mask(pa.table({"week": [2, 3, None, 4]}), 0).tolist()
        [False, True, False, True]
    """

    column: str
    low: Bound = None
    high: Bound = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must be read to decide."""
        return (self.column,)

    def mask(self, rows: pa.Table, first: int) -> np.ndarray:  # noqa: ARG002
        """Which rows belong, bool [B]."""
        column = rows[self.column]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        kind = column.type
        inside = pc.is_valid(column)
        if self.low is not None:
            inside = pc.and_kleene(inside, pc.greater_equal(column, bound(self.low, kind, self.column)))
        if self.high is not None:
            inside = pc.and_kleene(inside, pc.less(column, bound(self.high, kind, self.column)))
        return np.asarray(pc.fill_null(inside, False).to_numpy(), bool)

    def verdict(self, bounds: Known, kind: pa.DataType) -> bool | None:
        """Whether all rows of a row group belong, or none, by its smallest and largest value; None: look."""
        known = bounds(self.column)
        if known is None or pa.types.is_floating(kind):  # statistics pass over NaN
            return None
        try:
            least, most = pa.scalar(known.min, kind), pa.scalar(known.max, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, OverflowError):
            return None
        low = bound(self.low, kind, self.column) if self.low is not None else None
        high = bound(self.high, kind, self.column) if self.high is not None else None
        if (low is not None and _true(pc.less(most, low))) or (
            high is not None and _true(pc.greater_equal(least, high))
        ):
            return False
        if known.null_count == 0 and (low is None or _true(pc.greater_equal(least, low))):
            return True if high is None or _true(pc.less(most, high)) else None
        return None


@dataclass(frozen=True, slots=True)
class Share:
    """Rows whose hash lies in [low, high) of [0, 1): of a column's value, or of the row's number.

    Example:
        >>> rows = pa.table({"user": [7, 7, 8, None]})
        >>> one, two = Share(0.0, 0.5, 1, "user"), Share(0.5, 1.0, 1, "user")
        >>> (one.mask(rows, 0) ^ two.mask(rows, 0)).all()
        np.True_
    """

    low: float
    high: float
    seed: int
    column: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must be read to decide."""
        return () if self.column is None else (self.column,)

    def mask(self, rows: pa.Table, first: int) -> np.ndarray:
        """Which rows belong, bool [B]; `first` is the number of the first of them."""
        if self.column is None:
            place = fraction(splitmix64(np.arange(first, first + rows.num_rows)), self.seed)
        else:
            chunks = [hash_keys(read_keys(one, f"key {self.column!r}")) for one in rows[self.column].chunks]
            hashes = np.concatenate(chunks) if chunks else np.zeros(0, np.uint64)
            nobody = np.flatnonzero(hashes == ABSENT)  # rows of nobody known are nobody's: each by itself
            hashes[nobody] = splitmix64(nobody + first)
            place = fraction(hashes, self.seed)
        return (place >= self.low) & (place < self.high)

    def verdict(self, bounds: Known, kind: pa.DataType) -> bool | None:  # noqa: ARG002
        """No statistics tell anything about a hash."""
        return None


@dataclass(frozen=True, slots=True)
class Named:
    """Rows whose column names one of these values, as text.

    Example:
        >>> Named("tab", ("home",)).mask(pa.table({"tab": ["home", "feed", None]}), 0).tolist()
        [True, False, False]
    """

    column: str
    values: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must be read to decide."""
        return (self.column,)

    def mask(self, rows: pa.Table, first: int) -> np.ndarray:  # noqa: ARG002
        """Which rows belong, bool [B]."""
        column = rows[self.column]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        found = pc.is_in(column.cast(pa.string()), pa.array(self.values, pa.string()))
        return np.asarray(found.to_numpy(), bool)

    def verdict(self, bounds: Known, kind: pa.DataType) -> bool | None:  # noqa: ARG002
        """Look at the rows."""
        return None


@dataclass(frozen=True, slots=True)
class Both:
    """Rows that meet two conditions."""

    one: "Where"
    other: "Where"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must be read to decide."""
        return tuple(dict.fromkeys([*self.one.columns, *self.other.columns]))

    def mask(self, rows: pa.Table, first: int) -> np.ndarray:
        """Which rows belong, bool [B]; `first` is the number of the first of them."""
        return np.asarray(self.one.mask(rows, first) & self.other.mask(rows, first))

    def verdict(self, bounds: Known, kind: pa.DataType) -> bool | None:
        """None belongs where the first condition says so of the column that it reads first; else look."""
        return False if self.one.columns and self.one.verdict(bounds, kind) is False else None


@dataclass(frozen=True, slots=True)
class Not:
    """Rows that do not meet a condition.

    Example:
        >>> Not(Named("tab", ("home",))).mask(pa.table({"tab": ["home", "feed", None]}), 0).tolist()
        [False, True, True]
    """

    one: "Where"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that must be read to decide."""
        return self.one.columns

    def mask(self, rows: pa.Table, first: int) -> np.ndarray:
        """Which rows belong, bool [B]; `first` is the number of the first of them."""
        return np.asarray(~self.one.mask(rows, first))

    def verdict(self, bounds: Known, kind: pa.DataType) -> bool | None:
        """All where none meets the condition, and the other way round; else look."""
        known = self.one.verdict(bounds, kind)
        return None if known is None else not known


Where = Between | Share | Content | Named | Both | Not
_KINDS: dict[str, type[Between] | type[Share] | type[Content] | type[Named]] = {
    "between": Between,
    "share": Share,
    "content": Content,
    "named": Named,
}


def to_dict(where: Where) -> dict[str, Any]:
    """Plain values; `from_dict` reads them back."""
    if isinstance(where, Both):
        return {"kind": "both", "one": to_dict(where.one), "other": to_dict(where.other)}
    if isinstance(where, Not):
        return {"kind": "not", "one": to_dict(where.one)}
    return {"kind": type(where).__name__.lower(), **asdict(where)}


def from_dict(values: Mapping[str, Any]) -> Where:
    """A condition from plain values.

    Example:
        >>> from_dict(to_dict(Between("week", 3)))
        Between(column='week', low=3, high=None)
    """
    if values["kind"] == "both":
        return Both(from_dict(values["one"]), from_dict(values["other"]))
    if values["kind"] == "not":
        return Not(from_dict(values["one"]))
    options = {key: value for key, value in values.items() if key != "kind"}
    options |= {key: tuple(value) for key, value in options.items() if isinstance(value, list)}
    return _KINDS[values["kind"]](**options)


def bound(value: Bound, kind: pa.DataType, column: str) -> pa.Scalar:
    """A moment as a scalar that compares with a column of that type.

    Raises:
        ConfigError: the moment and the column are of different kinds.
        DataError: the column's type has no order in time.

    Example:
        >>> bound("2017-02-01", pa.timestamp("us"), "visit_time")
        <pyarrow.TimestampScalar: '2017-02-01T00:00:00.000000'>
    """
    types = pa.types
    try:
        if types.is_integer(kind):
            number = math.ceil(float(value)) if isinstance(value, float) else int(value)  # type: ignore[arg-type]
            return pa.scalar(number, pa.uint64() if types.is_uint64(kind) else pa.int64())
        if types.is_floating(kind):
            return pa.scalar(float(value), pa.float64())  # type: ignore[arg-type]
        if types.is_timestamp(kind) or types.is_date(kind):
            return _moment(value, kind)
        if is_text(kind) and isinstance(value, str):
            return pa.scalar(value, kind)
    except (ValueError, TypeError, OverflowError, pa.ArrowInvalid) as reason:
        raise _unlike(value, kind, column) from reason
    if is_text(kind):
        raise _unlike(value, kind, column)
    raise DataError(f"time column {column!r} has type {kind}. Store it as numbers, dates, timestamps or ISO text.")


def _moment(value: Bound, kind: pa.DataType) -> pa.Scalar:
    if isinstance(value, int):
        stored = pa.int32() if pa.types.is_date32(kind) else pa.int64()
        return pa.scalar(value, stored).cast(kind)
    moment = datetime.fromisoformat(str(value))
    if pa.types.is_date(kind):
        within = moment.time() > time.min  # a day that holds the moment begins before it
        return pa.scalar(moment.date() + timedelta(days=int(within)), kind)
    if kind.tz is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if kind.tz is None and moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return pa.scalar(moment, kind)


def plain(moment: int | float | date | str) -> int | float | str:
    """A moment of a configuration as what JSON holds: dates and times become ISO text."""
    return moment.isoformat() if isinstance(moment, date) else moment


def _unlike(value: Bound, kind: pa.DataType, column: str) -> ConfigError:
    return ConfigError(
        f"split: the moment {value!r} does not compare with time column {column!r} of type {kind}. "
        "Give it in the column's own units (ISO text for dates and times)."
    )


def _true(answer: pa.Scalar) -> bool:
    return answer.as_py() is True
