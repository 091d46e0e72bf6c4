"""Which value has which id: 0 out of vocabulary, 1 null, 2 and on the values, by falling count."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.data.hashing import hash_keys, hash_text
from polyrec.data.keys import Keys, KeyKind, KeyValues
from polyrec.errors import DataError

UNKNOWN, NULL, FIRST = 0, 1, 2
LARGEST = 2**31 - 1
_MERGE_AT = 2**20
_WORDS: dict[KeyKind, str] = {"integer": "integers", "text": "text"}
_DENSE_SPAN = 2**22  # widest span of integers that gets a table of its own whatever its count


@dataclass(frozen=True, eq=False)
class Values:
    """The known values of a feature in the order of their ids, or the buckets that they are hashed into.

    Example:
        >>> from polyrec.data.keys import read_keys
        >>> values = Values("text", pa.array(["web", "app"], pa.large_string()))
        >>> values.ids(read_keys(pa.array(["app", "tv", None, "web"]), "tab")).tolist()
        [3, 0, 1, 2]
    """

    kind: KeyKind
    known: KeyValues  # int64 or large_string, [size - 2]; empty where hashed
    buckets: int | None = None

    def __len__(self) -> int:
        """Rows that an embedding table needs."""
        return FIRST + (len(self.known) if self.buckets is None else self.buckets)

    def ids(self, keys: Keys, where: str = "the column") -> np.ndarray:
        """int32 ids of rows, [B]. `where`: how a message calls the column.

        Raises:
            DataError: integers where the vocabulary was fitted on texts, or texts where on integers.
        """
        _same_kind(keys.kind, self.kind, where)
        if keys.kind is None:
            return np.full(len(keys), NULL, np.int32)
        if self.buckets is not None:
            return _bucket(keys, self.buckets)
        found = self._find_texts(keys.values) if self.kind == "text" else self._find_integers(keys.values)
        return keys.spread(found, NULL)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Values):
            return NotImplemented
        same = (self.kind, self.buckets, len(self.known)) == (other.kind, other.buckets, len(other.known))
        return same and self.array().equals(other.array())

    def array(self) -> pa.Array:
        """The known values in the order of their ids."""
        return self.known if isinstance(self.known, pa.Array) else pa.array(self.known)

    def grown(self, counted: "Counted", least: int) -> "Values":
        """The same ids, and new ones for values not yet known that `counted` saw at least `least` times."""
        _same_kind(counted.kind, self.kind, counted.where)
        if self.buckets is not None or counted.kind is None:
            return self
        fresh = counted.frequent(least)
        new = self.ids(Keys(self.kind, fresh)) == UNKNOWN
        if isinstance(fresh, np.ndarray):
            known: KeyValues = np.concatenate([self.known, fresh[new]])
        else:
            known = pa.concat_arrays([self.known, fresh.filter(pa.array(new))])
        return Values(self.kind, _bounded(known, counted.where))

    @cached_property
    def _dense(self) -> tuple[int, np.ndarray] | None:
        """For integers that lie close together: the lowest, and the id of each from one below it to one above."""
        if not len(self.known):
            return 0, np.zeros(3, np.int32)
        low, high = int(self.known.min()), int(self.known.max())
        if high - low > max(_DENSE_SPAN, 4 * len(self.known)) or max(-low, high) > 2**62:
            return None
        table = np.zeros(high - low + 3, np.int32)
        table[self.known - low + 1] = np.arange(FIRST, len(self), dtype=np.int32)
        return low, table

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """Values (of texts, their hashes) in rising order, and their ids."""
        marks = hash_text(self.known) if self.kind == "text" else self.known
        order = np.argsort(marks, kind="stable")
        return marks[order], (order + FIRST).astype(np.int32)

    def _find_integers(self, values: np.ndarray) -> np.ndarray:
        dense = self._dense
        if dense is None:
            return self._search(values)
        low, table = dense
        if values.dtype.itemsize < 8:
            values = values.astype(np.int64)
        at = np.clip(values, low - 1, low + len(table) - 2)
        at -= low - 1
        return table.take(at)

    def _find_texts(self, values: pa.LargeStringArray) -> np.ndarray:
        found = self._search(hash_text(values))
        seen = np.flatnonzero(found)
        if len(seen):  # two texts may share a hash: compare the texts themselves
            known = self.known.take(pa.array(found[seen] - FIRST))
            same = pc.fill_null(pc.equal(known, values.take(pa.array(seen))), False)
            found[seen[~same.to_numpy(zero_copy_only=False)]] = UNKNOWN
        return found

    def _search(self, marks: np.ndarray) -> np.ndarray:
        ordered, ids = self._sorted
        if not len(ordered):
            return np.zeros(len(marks), np.int32)
        at = np.searchsorted(ordered, marks)
        np.minimum(at, len(ordered) - 1, out=at)
        return np.where(ordered[at] == marks, ids[at], np.int32(UNKNOWN))


def _bucket(keys: Keys, buckets: int) -> np.ndarray:
    hashed = hash_keys(Keys(keys.kind, keys.values))
    return keys.spread((hashed % np.uint64(buckets)).astype(np.int32) + np.int32(FIRST), NULL)


class Counted:
    """How often each value occurs, gathered chunk by chunk in memory that grows with distinct values only."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.kind: KeyKind | None = None
        self.rows = 0
        self.nulls = 0
        self._parts: list[pa.Table] = []
        self._pending = 0
        self._limit = _MERGE_AT

    def add(self, keys: Keys) -> None:
        """Count the rows of a chunk.

        Raises:
            DataError: texts after integers, or integers after texts.
        """
        if self.kind is not None:
            _same_kind(keys.kind, self.kind, self.where)
        self.kind = keys.kind or self.kind
        part = _count(keys)
        self.rows += len(keys)
        self.nulls += len(keys) - (pc.sum(part["count"]).as_py() or 0)
        if part.num_rows:
            self._parts.append(part)
            self._pending += part.num_rows
        if self._pending > self._limit:
            self._merge()

    def note(self, keys: Keys) -> None:
        """Take note of a chunk's type and nulls, not of its values."""
        if self.kind is not None:
            _same_kind(keys.kind, self.kind, self.where)
        self.kind = keys.kind or self.kind
        self.rows += len(keys)
        self.nulls += int(np.count_nonzero(keys.spread(np.zeros(len(keys.values), np.int8), 1)))

    def nothing(self) -> KeyValues:
        """No values, of the kind that was seen."""
        return pa.array([], pa.large_string()) if self.kind == "text" else np.zeros(0, np.int64)

    def join(self, other: "Counted") -> None:
        """Take in the counts of a column that shares these ids."""
        if self.kind is not None:
            _same_kind(other.kind, self.kind, f"{other.where}, which shares the ids of {self.where},")
        self.kind = self.kind or other.kind
        self.rows += other.rows
        self.nulls += other.nulls
        self._parts += other._parts

    def frequent(self, least: int) -> KeyValues:
        """Values seen at least `least` times, the most frequent first, equals by value."""
        if not self._parts:
            return self.nothing()
        self._merge()
        table = self._parts[0]
        table = table.filter(pc.greater_equal(table["count"], least))
        table = table.sort_by([("count", "descending"), ("value", "ascending")])
        values = table["value"].combine_chunks()
        return _bounded(values if self.kind == "text" else values.to_numpy(), self.where)

    def _merge(self) -> None:
        together = pa.concat_tables(self._parts).group_by("value").aggregate([("count", "sum")])
        counts = together["count_sum"].combine_chunks()
        self._parts = [pa.table({"value": together["value"].combine_chunks(), "count": counts})]
        self._pending = together.num_rows
        self._limit = max(_MERGE_AT, 2 * self._pending)


def _count(keys: Keys) -> pa.Table:
    """Distinct values of a chunk and their counts, nulls left out."""
    if keys.codes is None:
        values = pa.array(keys.values, mask=keys.nulls).drop_null()
        counted = values.value_counts()
        return pa.table({"value": counted.field(0).cast(pa.int64()), "count": counted.field(1)})
    counts = np.bincount(keys.codes + 1, minlength=len(keys.values) + 1)[1:]
    if keys.nulls is not None:
        counts[keys.nulls] = 0
    seen = np.flatnonzero(counts)
    values = pa.array(keys.values) if isinstance(keys.values, np.ndarray) else keys.values
    kind = pa.int64() if keys.kind != "text" else pa.large_string()
    return pa.table({"value": values.take(pa.array(seen)).cast(kind), "count": pa.array(counts[seen])})


def _bounded(values: KeyValues, where: str) -> KeyValues:
    if len(values) > LARGEST - FIRST:
        raise DataError(
            f"{where} has {len(values):,} values; a table holds {LARGEST:,} rows. Set hash = N or a larger min_count."
        )
    return values


def _same_kind(found: KeyKind | None, expected: KeyKind, where: str) -> None:
    if found not in (None, expected):
        raise DataError(
            f"{where} holds {_WORDS[found]}; the training rows hold {_WORDS[expected]}. "
            f"Convert the column to {_WORDS[expected]}."
        )
