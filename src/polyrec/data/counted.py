"""How often each value of a column occurs, chunk by chunk."""

from collections.abc import Collection, Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from polyrec.data.keys import KeyKind, Keys, KeyValues, same_kind
from polyrec.data.runs import Run, Runs
from polyrec.data.spill import Space
from polyrec.errors import DataError

FIRST = 2  # the id of the most frequent value
LARGEST = 2**31 - 1  # rows of a table
_MERGE_AT = 2**20


class Counted:
    """Values and their counts, in memory that grows with distinct values and not with rows, until they are spilled.

    Example:
        >>> from polyrec.data.keys import read_keys
        >>> counted = Counted("feature 'tab'")
        >>> counted.add(read_keys(pa.array(["web", "app", None, "app"]), "feature 'tab'"))
        >>> [block.to_pylist() for block in counted.frequent(1)], counted.nulls
        ([['app', 'web']], 1)
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.kind: KeyKind | None = None
        self.rows = 0
        self.nulls = 0
        self._parts: list[pl.DataFrame] = []
        self._pending = 0
        self._limit = _MERGE_AT
        self._runs: Runs | None = None

    @property
    def bytes(self) -> float:
        """What counts in memory take."""
        return sum(part.estimated_size() for part in self._parts)

    def spill(self, space: Space) -> None:
        """Counts so far, merged, onto disk."""
        if self._parts:
            self._merge()
            self._runs = self._runs or Runs(["value"], space, _summed)
            self._runs.write(self._parts[0].sort("value"))
            self._parts, self._pending, self._limit = [], 0, _MERGE_AT

    def add(self, keys: Keys) -> None:
        """Count the rows of a chunk.

        Raises:
            DataError: texts after integers, or integers after texts.
        """
        part = _count(keys)
        self.saw(keys.kind, len(keys), len(keys) - int(part["count"].sum()))
        self.take(part)

    def note(self, keys: Keys) -> None:
        """Take note of a chunk's type and nulls, not of its values."""
        absent = keys.spread(np.zeros(len(keys.values), np.int8), 1)
        self.saw(keys.kind, len(keys), int(np.count_nonzero(absent)))

    def join(self, other: "Counted") -> None:
        """Take in the counts of other rows, or those of a column that shares these ids.

        Raises:
            DataError: one holds texts, the other integers.
        """
        if self.kind is not None and other.where != self.where:
            same_kind(other.kind, self.kind, f"{other.where}, which shares the ids of {self.where},")
        self.saw(other.kind, other.rows, other.nulls)
        for part in other._parts:
            self.take(part)
        if self._runs is not None and other._runs is not None:
            self._runs.take(other._runs)
        self._runs = self._runs or other._runs

    def frequent(self, least: int) -> Iterator[KeyValues]:
        """Values seen at least `least` times, the most frequent first, equals by value, in blocks; forgets them.

        Raises:
            DataError: more values than a table has rows.
        """
        if self._runs is None:
            if self._parts:
                self._merge()
                yield self._values(_ranked(self._parts.pop(), least).sort(["rank", "value"])["value"])
            return
        ordered = Runs(["rank", "value"], self._runs.space)
        for block in self.ordered():
            ordered.add(_ranked(block, least))
            bounded(ordered.rows, self.where)
        for block in ordered.merged():
            yield self._values(block["value"])

    def ordered(self) -> Iterator[pl.DataFrame]:
        """Values and their counts, rising by value, in blocks; forgets them."""
        if self._runs is not None:
            self.spill(self._runs.space)
            yield from self._runs.merged()
        elif self._parts:
            self._merge()
            yield self._parts.pop().sort("value")

    def saw(self, kind: KeyKind | None, rows: int, nulls: int) -> None:
        """Rows whose values come otherwise.

        Raises:
            DataError: texts after integers, or integers after texts.
        """
        if self.kind is not None:
            same_kind(kind, self.kind, self.where)
        self.kind = self.kind or kind
        self.rows += rows
        self.nulls += nulls

    def lend(self, run: Run, space: Space) -> None:
        """Counts, rising by value, in a file that others read too."""
        self._runs = self._runs or Runs(["value"], space, _summed)
        self._runs.lend(run)

    def take(self, counts: pl.DataFrame) -> None:
        """Values and their counts."""
        if len(counts):
            self._parts.append(counts)
            self._pending += len(counts)
        if self._pending > self._limit:
            self._merge()

    def _values(self, values: pl.Series) -> KeyValues:
        return values.to_arrow().cast(pa.large_string()) if self.kind == "text" else np.array(values.to_numpy())

    def _merge(self) -> None:
        together = pl.concat(self._parts).group_by("value").agg(pl.col("count").sum())
        self._parts = [together]
        self._pending = len(together)
        self._limit = max(_MERGE_AT, 2 * self._pending)


def relieve(counted: Collection[Counted], space: Space) -> None:
    """The largest counts to disk, until half of what memory may hold is free."""
    if sum(one.bytes for one in counted) > space.most:
        for one in sorted(counted, key=lambda one: -one.bytes):
            one.spill(space)
            if sum(one.bytes for one in counted) <= space.most // 2:
                return


def bounded(count: int, where: str) -> int:
    """So many values, unless they are more than a table has rows."""
    if count > LARGEST - FIRST:
        raise DataError(
            f"{where} has {count:,} values; a table holds {LARGEST:,} rows. Set hash = N or a larger min_count."
        )
    return count


def _summed(counts: pl.DataFrame) -> pl.DataFrame:
    """Counts in order of their values, each value once."""
    return counts.group_by("value", maintain_order=True).agg(pl.col("count").sum())


def _ranked(counts: pl.DataFrame, least: int) -> pl.DataFrame:
    kept = counts.filter(pl.col("count") >= least)
    return kept.select(rank=-pl.col("count"), value=pl.col("value"))


def _count(keys: Keys) -> pl.DataFrame:
    """Distinct values of a chunk and their counts, nulls left out."""
    if keys.codes is None:
        counted = pa.array(keys.values, mask=keys.nulls).drop_null().value_counts()
        values, counts = counted.field(0).cast(pa.int64()), counted.field(1)
    else:
        sizes = np.bincount(keys.codes + 1, minlength=len(keys.values) + 1)[1:]
        if keys.nulls is not None:
            sizes[keys.nulls] = 0
        seen = np.flatnonzero(sizes)
        whole = keys.values if keys.kind == "text" else pa.array(keys.integers())
        values, counts = whole.take(pa.array(seen)), pa.array(sizes[seen])
    return pl.DataFrame(pa.table({"value": values, "count": counts.cast(pa.int64())}))
