"""Numeric columns: what the training rows say about them, and the numbers that a model reads."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.data.keys import as_numpy, cast
from polyrec.data.sample import RowSample
from polyrec.declare import STRICT
from polyrec.errors import DataError
from polyrec.schema import Transform

DEFAULT_TRANSFORM: Transform = "log"
KNOTS = 256  # of the piecewise-linear quantile map
_LARGEST = float(np.finfo(np.float32).max)
Note = tuple[int, float, float, float, float]
_TABLE_SPAN = 2**16  # widest span of integers that is transformed once a value and not once a row


@dataclass(frozen=True, slots=True)
class Numbers:
    """A fitted transform: x -> float32.

    `none`: x; `standard`: (x - mean) / deviation; `log`: the same on sign(x) log(1 + |x|); `quantile`: the
    share of training rows below x, piecewise linear between at most 256 knots, 0 at the smallest training
    value and 1 at the largest. NaN, infinities and what float32 cannot hold count as null. A null is 0 and
    raises the flag of the column `name?` where the training rows had nulls; where they had none it is their mean.

    Example:
        >>> tally = Tally("standard")
        >>> tally.add(np.array([1.0, 3.0, np.nan]))
        >>> numbers = tally.fitted()
        >>> numbers.transform(np.array([1.0, 2.0, 5.0])).tolist(), numbers.nulls
        ([-1.0, 0.0, 3.0], 1)
    """

    __pydantic_config__ = STRICT
    kind: Transform
    mean: float  # of the values as they are
    center: float = 0.0  # of what is standardised
    deviation: float = 1.0
    knots: tuple[float, ...] = ()
    places: tuple[float, ...] = ()
    nulls: int = 0  # nulls, NaN and infinities among the training rows
    infinite: int = 0  # NaN and infinities alone

    @property
    def flagged(self) -> bool:
        """Whether a second column says where the value is null."""
        return self.nulls > 0

    @property
    def null(self) -> float:
        """What stands for a null."""
        return 0.0 if self.flagged else float(self.transform(np.array([self.mean]))[0])

    def transform(self, values: np.ndarray) -> np.ndarray:
        """float32 numbers for usable float64 values, [B]."""
        if self.kind == "quantile":
            made: np.ndarray = np.interp(values, self.knots, self.places)
        elif self.kind == "none":
            made = values
        else:
            made = ((_log(values) if self.kind == "log" else values) - self.center) / self.deviation
        made = np.clip(made, -_LARGEST, _LARGEST)
        return made.astype(np.float32)

    def encode(self, column: pa.Array, where: str, out: np.ndarray, absent: np.ndarray | None) -> None:
        """Write a chunk's numbers into `out` [B], and 1 where it is null into `absent` [B].

        Raises:
            DataError: the column does not hold numbers.
        """
        kind = column.type
        if pa.types.is_integer(kind) and not pa.types.is_uint64(kind) and len(column) > column.null_count:
            bounds = pc.min_max(column)
            low, high = bounds["min"].as_py(), bounds["max"].as_py()
            if high - low < min(_TABLE_SPAN, 4 * len(column)):
                self._by_table(column, low, high, out, absent)
                return
        self.write(read_floats(column, where), out, absent)

    def write(self, values: np.ndarray, out: np.ndarray, absent: np.ndarray | None) -> None:
        """The same for float64 values of its own, NaN for null, [B]."""
        bad = ~usable(values)
        if bad.any():
            values[bad] = self.mean
            out[:] = self.transform(values)
            out[bad] = self.null
            if absent is not None:
                absent[:] = bad
            return
        out[:] = self.transform(values)

    def _by_table(self, column: pa.Array, low: int, high: int, out: np.ndarray, absent: np.ndarray | None) -> None:
        table = self.transform(np.arange(low, high + 1, dtype=np.int64).astype(np.float64))  # exact beyond 2^53 too
        places = as_numpy(column, low)
        out[:] = table.take(places.astype(np.int64) - low)
        if column.null_count:
            bad = column.is_null().to_numpy(zero_copy_only=False)
            out[bad] = self.null
            if absent is not None:
                absent[:] = bad


def usable(values: np.ndarray) -> np.ndarray:
    """Which values are numbers that float32 can hold: not NaN, not infinite, not beyond 3.4e38."""
    with np.errstate(invalid="ignore"):
        small: np.ndarray = np.abs(values) <= _LARGEST
    return small


def read_floats(column: pa.Array, where: str) -> np.ndarray:
    """A chunk as float64 of its own, NaN for null.

    Raises:
        DataError: text, dates or lists where numbers are expected.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    types = pa.types
    if types.is_boolean(kind):
        column = column.cast(pa.float64())
    elif not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind)):
        raise DataError(
            f"{where} has type {kind}, expected numbers. Convert the column, or declare the feature categorical."
        )
    if types.is_integer(kind):
        plain: np.ndarray = column.to_numpy(zero_copy_only=False)
        return plain.astype(np.float64)  # integers with nulls come as floats already
    return np.array(cast(column, pa.float64(), where).to_numpy(zero_copy_only=False), np.float64)


class Tally:
    """Moments and a sample of a column, gathered chunk by chunk in bounded memory.

    Args:
        kind: of the transform.
        first: the number of the first row among all training rows, for a part of them that `join` takes.
    """

    def __init__(self, kind: Transform, first: int | None = None) -> None:
        self.kind = kind
        self.rows = 0
        self.nulls = 0
        self.infinite = 0
        self.raw = Moments(notes=first is not None)
        self.used = Moments(notes=first is not None)
        self.sample = RowSample()
        self._first = first or 0

    def add(self, values: np.ndarray, nulls: int = 0) -> None:
        """Take in float64 values; `nulls` of their NaN were nulls."""
        there = usable(values)
        finite = values[there]
        self.nulls += len(values) - len(finite)
        self.infinite += len(values) - len(finite) - nulls
        self.raw.add(finite)
        if self.kind == "quantile":
            self.sample.add(self._first + self.rows, values, there)
        elif self.kind != "none":
            self.used.add(_log(finite) if self.kind == "log" else finite)
        self.rows += len(values)

    def told(self) -> dict[str, int]:
        """The counts of a part."""
        return {"rows": self.rows, "nulls": self.nulls, "infinite": self.infinite, "halved": self.sample.halved}

    def arrays(self) -> dict[str, np.ndarray]:
        """What a part noted of its chunks, and its sample."""
        hashes, values = self.sample.hashes(), self.sample.values()
        return {"raw": self.raw.notes, "used": self.used.notes, "hashes": hashes, "values": values}

    def join(self, told: Mapping[str, int], arrays: Mapping[str, np.ndarray]) -> None:
        """Take in the part that follows: bit for bit what its rows would have made of this."""
        self.rows += told["rows"]
        self.nulls += told["nulls"]
        self.infinite += told["infinite"]
        self.raw.join(arrays["raw"])
        self.used.join(arrays["used"])
        self.sample.keep(arrays["hashes"], arrays["values"], told["halved"])

    def fitted(self) -> Numbers:
        """The transform that these values ask for. There must be at least one finite value."""
        knots, places = quantile_map(self.sample.values()) if self.kind == "quantile" else ((), ())
        return Numbers(
            self.kind,
            self.raw.mean,
            self.used.mean,
            1.0 if self.raw.constant else self.used.deviation or 1.0,  # rounding may leave a deviation of 1e-16
            knots,
            places,
            self.nulls,
            self.infinite,
        )


class Moments:
    """Mean and deviation by chunks, without cancellation (Chan, Golub, LeVeque 1979, eq. 2.1).

    Args:
        notes: keep what each chunk says, so that `join` can take them in after others.

    Example:
        >>> moments = Moments()
        >>> moments.add(np.array([1.0, 2.0])); moments.add(np.array([3.0, 6.0]))
        >>> moments.mean, round(moments.deviation, 4)
        (3.0, 1.8708)
    """

    def __init__(self, *, notes: bool = False) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0
        self._low, self._high = np.inf, -np.inf
        self._notes: list[Note] | None = [] if notes else None

    @property
    def notes(self) -> np.ndarray:
        """float64 [chunks, 5]: count, mean, squares about it, least and largest value."""
        return np.array(self._notes or np.zeros((0, 5)), np.float64)

    def add(self, values: np.ndarray) -> None:
        """Take in a chunk."""
        if len(values):
            mean = float(values.mean())
            squares = float(np.square(values - mean).sum())
            self._take((len(values), mean, squares, float(values.min()), float(values.max())))

    def join(self, notes: np.ndarray) -> None:
        """Take in chunks by what was noted of them."""
        for count, mean, squares, low, high in notes.tolist():
            self._take((int(count), mean, squares, low, high))

    def _take(self, note: Note) -> None:
        count, mean, squares, low, high = note
        self._low, self._high = min(self._low, low), max(self._high, high)
        total = self.count + count
        apart = mean - self.mean
        self._squares += squares + apart * apart * self.count * count / total
        self.mean += apart * count / total
        self.count = total
        if self._notes is not None:
            self._notes.append(note)

    @property
    def constant(self) -> bool:
        """Whether all values were the same."""
        return self._low >= self._high

    @property
    def deviation(self) -> float:
        """Root of the mean squared distance from the mean."""
        return float(np.sqrt(self._squares / self.count)) if self.count else 0.0


def quantile_map(values: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots x and places in [0, 1] of the piecewise-linear map of training values onto their ranks.

    A repeated value lies in the middle of its ranks; then the smallest is moved to 0 and the largest to 1.

    Example:
        >>> quantile_map(np.array([5.0, 1.0, 1.0, 9.0]))
        ((1.0, 5.0, 9.0), (0.0, 0.6, 1.0))
    """
    ordered = np.sort(values)
    knots = np.unique(ordered)
    if len(knots) > KNOTS:
        knots = np.unique(np.quantile(ordered, np.linspace(0.0, 1.0, KNOTS), method="nearest"))
    below = np.searchsorted(ordered, knots, "left")
    through = np.searchsorted(ordered, knots, "right")
    places = (below + through) / (2 * len(ordered))
    span = places[-1] - places[0]
    places = (places - places[0]) / span if span > 0 else np.full(len(knots), 0.5)
    return tuple(knots.tolist()), tuple(places.tolist())


def _log(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))
