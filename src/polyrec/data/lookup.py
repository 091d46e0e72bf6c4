"""Finding 64-bit hashes among known ones, many at a time."""

import numpy as np


class Lookup:
    """The place of each known hash, by its leading bits: about two reads of memory a question.

    Known hashes are sorted and cut into as many buckets as there are hashes; hashes that are even fill a bucket
    with one or two. Binary search would read memory twenty times for a million of them.

    Example:
        >>> lookup = Lookup(np.array([7 << 60, 1 << 60, 9 << 60], np.uint64))
        >>> lookup.find(np.array([9 << 60, 8 << 60, 7 << 60], np.uint64)).tolist()
        [2, -1, 0]
    """

    def __init__(self, known: np.ndarray) -> None:
        self._shift = np.uint64(64 - max(len(known).bit_length(), 1))
        order = np.argsort(known, kind="stable")
        self._known = known[order]
        self._places = order.astype(np.int32)
        sizes = np.bincount((self._known >> self._shift).astype(np.int64), minlength=2 ** (64 - int(self._shift)))
        self._starts = np.append(0, np.cumsum(sizes)).astype(np.int32)
        self._longest = int(sizes.max())

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
