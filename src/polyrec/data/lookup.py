"""Finding 64-bit hashes among known ones, many at a time."""

import numpy as np


class Lookup:
    """The place of each known hash, by its leading bits: about two reads of memory a question.

    Known hashes are sorted and cut into as many buckets as there are hashes; hashes that are even fill a bucket
    with one or two. Binary search would read memory twenty times for a million of them.

    Args:
        known: hashes in order.
        places: of each, its place among the values, int32.
        starts: where each bucket begins in `known`, and where the last one ends, int32.
        longest: how many the fullest bucket has.

    Example:
        >>> lookup = Lookup.of(np.array([7 << 60, 1 << 60, 9 << 60], np.uint64))
        >>> lookup.find(np.array([9 << 60, 8 << 60, 7 << 60], np.uint64)).tolist()
        [2, -1, 0]
    """

    def __init__(self, known: np.ndarray, places: np.ndarray, starts: np.ndarray, longest: int) -> None:
        self._known, self._places, self._starts, self._longest = known, places, starts, longest
        self._shift = np.uint64(64 - bits(len(known)))

    @classmethod
    def of(cls, hashes: np.ndarray) -> "Lookup":
        """Of hashes in the order of their places."""
        order = np.argsort(hashes, kind="stable")
        known = hashes[order]
        leading = bits(len(known))
        sizes = np.bincount((known >> np.uint64(64 - leading)).astype(np.int64), minlength=2**leading)
        starts = np.append(0, np.cumsum(sizes)).astype(np.int32)
        return cls(known, order.astype(np.int32), starts, int(sizes.max()))

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """int32 places among the known ones, -1 for a hash that is not, [B]."""
        found = np.full(len(hashes), -1, np.int32)
        buckets = (hashes >> self._shift).astype(np.int64)
        at, end = self._starts.take(buckets), self._starts.take(buckets + 1)
        open_ = np.flatnonzero(at < end)
        for _ in range(self._longest):
            places = at[open_]
            hit = self._known.take(places) == hashes[open_]
            found[open_[hit]] = self._places.take(places[hit])
            at[open_] += 1
            open_ = open_[~hit]
            open_ = open_[at[open_] < end[open_]]
            if not len(open_):
                break
        return found


def bits(count: int) -> int:
    """How many leading bits of a hash name its bucket, where there are so many hashes."""
    return max(count.bit_length(), 1)
