"""How often each value of a column occurs, chunk by chunk."""

import numpy as np
import polars as pl
import pyarrow as pa

from polyrec.data.keys import KeyKind, Keys, KeyValues, same_kind
from polyrec.errors import DataError

FIRST = 2  # the id of the most frequent value
LARGEST = 2**31 - 1  # rows of a table
_MERGE_AT = 2**20


class Counted:
    """Values and their counts, in memory that grows with distinct values and not with rows.

    Example:
        >>> from polyrec.data.keys import read_keys
        >>> counted = Counted("feature 'tab'")
        >>> counted.add(read_keys(pa.array(["web", "app", None, "app"]), "feature 'tab'"))
        >>> counted.frequent(1).to_pylist(), counted.nulls
        (['app', 'web'], 1)
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.kind: KeyKind | None = None
        self.rows = 0
        self.nulls = 0
        self._parts: list[pl.DataFrame] = []
        self._pending = 0
        self._limit = _MERGE_AT

    def add(self, keys: Keys) -> None:
        """Count the rows of a chunk.

        Raises:
            DataError: texts after integers, or integers after texts.
        """
        part = _count(keys)
        self._note(keys.kind, len(keys), len(keys) - int(part["count"].sum()))
        if len(part):
            self._parts.append(part)
            self._pending += len(part)
        if self._pending > self._limit:
            self._merge()

    def note(self, keys: Keys) -> None:
        """Take note of a chunk's type and nulls, not of its values."""
        absent = keys.spread(np.zeros(len(keys.values), np.int8), 1)
        self._note(keys.kind, len(keys), int(np.count_nonzero(absent)))

    def join(self, other: "Counted") -> None:
        """Take in the counts of a column that shares these ids.

        Raises:
            DataError: one holds texts, the other integers.
        """
        if self.kind is not None:
            same_kind(other.kind, self.kind, f"{other.where}, which shares the ids of {self.where},")
        self._note(other.kind, other.rows, other.nulls)
        self._parts += other._parts

    def nothing(self) -> KeyValues:
        """No values, of the kind that was seen."""
        return pa.array([], pa.large_string()) if self.kind == "text" else np.zeros(0, np.int64)

    def frequent(self, least: int) -> KeyValues:
        """Values seen at least `least` times, the most frequent first, equals by value."""
        if not self._parts:
            return self.nothing()
        self._merge()
        kept = self._parts[0].filter(pl.col("count") >= least)
        values = kept.sort(["count", "value"], descending=[True, False])["value"]
        plain = values.to_arrow().cast(pa.large_string()) if self.kind == "text" else np.array(values.to_numpy())
        return bounded(plain, self.where)

    def _note(self, kind: KeyKind | None, rows: int, nulls: int) -> None:
        if self.kind is not None:
            same_kind(kind, self.kind, self.where)
        self.kind = self.kind or kind
        self.rows += rows
        self.nulls += nulls

    def _merge(self) -> None:
        together = pl.concat(self._parts).group_by("value").agg(pl.col("count").sum())
        self._parts = [together]
        self._pending = len(together)
        self._limit = max(_MERGE_AT, 2 * self._pending)


def bounded(values: KeyValues, where: str) -> KeyValues:
    """The values, unless they are more than a table has rows."""
    if len(values) > LARGEST - FIRST:
        raise DataError(
            f"{where} has {len(values):,} values; a table holds {LARGEST:,} rows. Set hash = N or a larger min_count."
        )
    return values


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
