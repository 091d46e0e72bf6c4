"""Which value has which id: 0 out of vocabulary, 1 null, 2 and on the values, by falling count."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.data.counted import FIRST, Counted, bounded
from polyrec.data.hashing import hash_keys, hash_text, splitmix64
from polyrec.data.keys import KeyKind, Keys, KeyValues, nothing, same_kind
from polyrec.data.lookup import Lookup
from polyrec.data.spill import held_at_most
from polyrec.data.stored import Stored, store

UNKNOWN, NULL = 0, 1
_HELD = 2**18  # values that a dictionary of Python objects may hold
_BLOCK = 2**20  # values that are taken from one vocabulary into another at a time
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
    stored: Stored | None = None  # where `known` lies, if it lies on disk

    @classmethod
    def of(cls, kind: KeyKind, blocks: Iterable[KeyValues], where: str = "the column") -> "Values":
        """Values that come in the order of their ids; in memory, or on disk where they are many.

        Raises:
            DataError: more values than a table has rows.
            NotReadyError: the disk is full.
        """
        most, whole = held_at_most(), iter(blocks)
        held: list[KeyValues] = []
        count = size = 0
        for block in whole:
            held.append(block)
            count, size = bounded(count + len(block), where), size + block.nbytes
            if size > most:
                stored = store(kind, chain(held, whole))
                return cls(kind, stored.known(), stored=stored)
        return cls(kind, _joined(kind, held))

    def __reduce__(self) -> tuple[Any, ...]:
        """What lies on disk travels as its path."""
        if self.stored is not None:
            return _reopened, (self.stored,)
        return Values, (self.kind, self.known, self.buckets)

    def __len__(self) -> int:
        """Rows that an embedding table needs."""
        return FIRST + (len(self.known) if self.buckets is None else self.buckets)

    def ids(self, keys: Keys, where: str = "the column") -> np.ndarray:
        """int32 ids of rows, [B]. `where`: how a message calls the column.

        Raises:
            DataError: integers where the vocabulary was fitted on texts, or texts where on integers.
        """
        same_kind(keys.kind, self.kind, where)
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

    @cached_property
    def places(self) -> dict[Any, int] | None:
        """The id of each known value and of null; None where values are hashed, or too many to hold so."""
        if self.buckets is not None or len(self.known) > _HELD:
            return None
        return {None: NULL} | {one: place for place, one in enumerate(self.array().to_pylist(), FIRST)}

    def array(self) -> pa.Array:
        """The known values in the order of their ids."""
        return self.known if isinstance(self.known, pa.Array) else pa.array(self.known)

    def grown(self, counted: Counted, least: int) -> "Values":
        """The same ids, and new ones for values not yet known that `counted` saw at least `least` times."""
        same_kind(counted.kind, self.kind, counted.where)
        if self.buckets is not None or counted.kind is None:
            return self
        fresh = counted.frequent(least)
        new = map(self._strange, fresh) if len(self.known) else fresh
        return Values.of(self.kind, chain(self._blocks(), new), counted.where)

    def _blocks(self) -> Iterator[KeyValues]:
        for start in range(0, len(self.known), _BLOCK):
            yield self.known[start : start + _BLOCK]

    def _strange(self, values: KeyValues) -> KeyValues:
        """Those of some values that are not known."""
        new = self.ids(Keys(self.kind, values)) == UNKNOWN
        return values[new] if isinstance(values, np.ndarray) else values.filter(pa.array(new))

    @cached_property
    def _dense(self) -> tuple[int, np.ndarray] | None:
        """For integers that lie close together: the lowest, and the id of each from one below it to one above."""
        if self.stored is not None:
            return None
        if not len(self.known):
            return 0, np.zeros(3, np.int32)
        low, high = int(self.known.min()), int(self.known.max())
        if high - low > max(_DENSE_SPAN, 4 * len(self.known)) or max(-low, high) > 2**62:
            return None
        table = np.zeros(high - low + 3, np.int32)
        table[self.known - low + 1] = np.arange(FIRST, len(self), dtype=np.int32)
        return low, table

    @cached_property
    def _lookup(self) -> Lookup:
        if self.stored is not None:
            return self.stored.lookup()
        return Lookup.of(hash_text(self.known) if self.kind == "text" else splitmix64(self.known))

    def _find_integers(self, values: np.ndarray) -> np.ndarray:
        dense = self._dense
        if dense is None:
            return _as_ids(self._lookup.find(splitmix64(values.astype(np.int64))))
        low, table = dense
        if values.dtype.itemsize < 8:
            values = values.astype(np.int64)
        at = np.clip(values, low - 1, low + len(table) - 2)
        at -= low - 1
        return np.asarray(table.take(at))

    def _find_texts(self, values: pa.LargeStringArray) -> np.ndarray:
        found = _as_ids(self._lookup.find(hash_text(values)))
        seen = np.flatnonzero(found)
        if len(seen):  # two texts may share a hash: compare the texts themselves
            known = self.known.take(pa.array(found[seen] - FIRST))
            same = pc.fill_null(pc.equal(known, values.take(pa.array(seen))), False)
            found[seen[~same.to_numpy(zero_copy_only=False)]] = UNKNOWN
        return found


def _joined(kind: KeyKind, blocks: list[KeyValues]) -> KeyValues:
    whole = [nothing(kind), *blocks]
    return np.concatenate(whole) if kind == "integer" else pa.concat_arrays(whole)


def _reopened(stored: Stored) -> Values:
    values = Values(stored.kind, stored.known(), stored=stored)
    _ = values._lookup  # every file is open now: who sent it may go
    return values


def _as_ids(places: np.ndarray) -> np.ndarray:
    return np.where(places < 0, np.int32(UNKNOWN), places + np.int32(FIRST))


def _bucket(keys: Keys, buckets: int) -> np.ndarray:
    hashed = hash_keys(Keys(keys.kind, keys.values))
    return keys.spread((hashed % np.uint64(buckets)).astype(np.int32) + np.int32(FIRST), NULL)
