"""A log as an inspection reads it: streamed aggregates over every row, and two samples for the rest."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from polyrec.data.files import Source
from polyrec.data.keys import is_text
from polyrec.data.places import Place, few
from polyrec.errors import DataError
from polyrec.progress import Progress, told

BLOCK = 131_072  # rows counted at a time
BLOCKS = 64  # stretches of consecutive rows that make the second sample


@dataclass(frozen=True)
class Log:
    """The rows to inspect.

    `sample`: rows drawn at random. `stretches`: runs of consecutive rows, since rows that look alike lie side
    by side in a log and a random draw would part them. Both are all rows where there are few enough.
    """

    source: Source
    rows: int
    sample: pl.DataFrame
    stretches: pl.DataFrame
    rising: frozenset[str]  # numbers, times and texts that never fall from one row to the next

    @property
    def sampled(self) -> bool:
        """Whether the samples are less than the whole."""
        return len(self.sample) < self.rows

    def collect(self, expressions: Sequence[pl.Expr], by: Sequence[str] = ()) -> pl.DataFrame:
        """Aggregates over every row, streamed; by the values of some columns if named."""
        scan = self.source.scan()
        lazy = scan.group_by(list(by)).agg(list(expressions)) if by else scan.select(list(expressions))
        return _collected(lazy, self.source)

    def repeated_rows(self, most: int = 4_000_000) -> tuple[int, bool]:
        """How many rows repeat another, and whether that is exact.

        Beyond `most` rows it is an estimate from the rows whose hashes leave no remainder: repeats share a hash.
        """
        parts = max(1, -(-self.rows // most))
        hashed = self.source.scan().select(one=pl.struct(pl.all()).hash(0)).filter(pl.col("one") % parts == 0)
        counts = _collected(hashed.select(rows=pl.len(), distinct=pl.col("one").n_unique()), self.source)
        return int(counts["rows"][0] - counts["distinct"][0]) * parts, parts == 1


def _collected(lazy: pl.LazyFrame, source: Source) -> pl.DataFrame:
    try:
        return lazy.collect(engine="streaming")
    except pl.exceptions.PolarsError as reason:
        words = str(reason).strip().splitlines()[-1]
        raise DataError(
            f"{few(source.paths)} cannot be read: {words}. Write the file again, or mend the value."
        ) from reason


def open_log(paths: Sequence[Place], progress: Progress | None = None) -> Source:
    """The files as one source.

    Raises:
        DataError: a file is missing, damaged, empty or not UTF-8; there are no rows.
    """
    source = Source(tuple(paths)).open(progress)
    _refuse_bytes(source, source.columns())
    source.rows()
    return source


def read(
    source: Source, sample: int, seed: int, see: Callable[[pl.DataFrame], None], progress: Progress | None = None
) -> Log:
    """Draw the samples in one pass over the rows; each block of them is shown to `see` on the way.

    Raises:
        DataError: `sample` is not positive, or a file turns out damaged.
    """
    if sample < 1:
        raise DataError(f"sample = {sample}: an inspection needs rows to look at. Give at least 1.")
    rows = source.rows()
    rng = np.random.default_rng(seed)
    keep = 1.0 if rows <= sample else sample / rows
    size = max(1, sample // BLOCKS)
    starts = np.linspace(0, max(rows - size, 0), BLOCKS).astype(np.int64) if keep < 1.0 else np.zeros(0, np.int64)
    drawn: list[pa.Table] = []
    runs: list[pa.Table] = []
    order = _Order([name for name, kind in source.columns().items() if _orders(kind)])
    first = 0
    for table in told(progress, "reading rows", _blocks(source), rows):
        frame = plain_frame(table)
        see(frame)
        order.see(frame)
        drawn.append(table if keep == 1.0 else table.filter(pa.array(rng.random(len(frame)) < keep)))
        runs.extend(_cut(table, first, starts, size))
        first += len(frame)
    together = pl.concat([plain_frame(table) for table in drawn])
    stretches = pl.concat([plain_frame(table) for table in runs]) if runs else together
    return Log(source, rows, together, stretches, frozenset(order.rising))


def _blocks(source: Source) -> Iterator[pa.Table]:
    """The rows in blocks large enough to count in, small enough to hold."""
    held: list[pa.Table] = []
    for table in source.tables():
        held.append(table)
        if sum(one.num_rows for one in held) >= BLOCK:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _refuse_bytes(source: Source, kinds: dict[str, pa.DataType]) -> None:
    for name, kind in kinds.items():
        if pa.types.is_binary(kind) and source.paths[0].suffix.lower() in (".csv", ".tsv"):
            raise DataError(
                f"{source.paths[0]} is not UTF-8: column {name!r} holds other bytes. "
                "Convert it, for example with iconv -f latin1 -t utf-8."
            )


def plain_frame(table: pa.Table) -> pl.DataFrame:
    """An arrow table as a frame; texts as texts."""
    plain = [pa.field(one.name, pa.string() if pa.types.is_dictionary(one.type) else one.type) for one in table.schema]
    return pl.DataFrame(table.cast(pa.schema(plain)))


def _cut(table: pa.Table, first: int, starts: np.ndarray[Any, Any], size: int) -> Iterator[pa.Table]:
    """Copies of the parts of a table that lie in the stretches; `first` is the number of its first row."""
    for start in starts[(starts < first + table.num_rows) & (starts + size > first)].tolist():
        low, high = max(start - first, 0), min(start + size - first, table.num_rows)
        yield table.take(pa.array(np.arange(low, high)))


def _orders(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    ordered: bool = pa.types.is_temporal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return ordered or (is_text(kind) and not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind))


class _Order:
    """Which columns never fall from one row to the next, over a stream of frames."""

    def __init__(self, names: list[str]) -> None:
        self.rising = set(names)
        self._last: dict[str, object] = {}

    def see(self, frame: pl.DataFrame) -> None:
        for name in sorted(self.rising):
            column = frame[name].drop_nulls()
            if not len(column):
                continue
            before = self._last.get(name)
            if not column.is_sorted() or (before is not None and column[0] < before):
                self.rising.discard(name)
            self._last[name] = column[-1]
