"""A part of many values, drawn while they stream by."""

import numpy as np

from polyrec.data.hashing import splitmix64

SIZE = 2**18  # values kept for quantiles


class Sample:
    """All values while they fit, then a random part of them, every value as likely as any other.

    The same values in the same chunks give the same sample.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._share = 1.0
        self._random = np.random.default_rng(0)
        self._kept: list[np.ndarray] = []
        self._count = 0

    def add(self, values: np.ndarray) -> None:
        """Take in a chunk."""
        kept = values if self._share == 1.0 else values[self._random.random(len(values)) < self._share]
        self._kept.append(np.array(kept))
        self._count += len(kept)
        while self._count > self._size:
            self._share /= 2
            whole = self.values()
            self._kept = [whole[self._random.random(len(whole)) < 0.5]]
            self._count = len(self._kept[0])

    def values(self) -> np.ndarray:
        """What is kept, in the order in which it came."""
        return np.concatenate(self._kept) if self._kept else np.zeros(0)


class RowSample:
    """All values while they fit, then those of rows whose number hashes low: the same ones in whatever parts they come.

    Kept are rows with a hash below 2^(64 - k), where k is the least that keeps no more than `SIZE`.

    Example:
        >>> whole, one, other = RowSample(), RowSample(), RowSample()
        >>> whole.add(0, np.array([5.0, 7.0, 9.0]), np.array([True, False, True]))
        >>> one.add(0, np.array([5.0, 7.0]), np.array([True, False])); other.add(2, np.array([9.0]), np.array([True]))
        >>> one.keep(other.hashes(), other.values(), other.halved)
        >>> whole.values().tolist(), one.values().tolist()
        ([5.0, 9.0], [5.0, 9.0])
    """

    def __init__(self) -> None:
        self.halved = 0  # k
        self._hashes: list[np.ndarray] = []
        self._kept: list[np.ndarray] = []
        self._count = 0

    def add(self, first: int, values: np.ndarray, there: np.ndarray) -> None:
        """Take in float64 values, [B], of the rows from number `first` on; `there`: which rows have one."""
        rows = np.arange(first, first + len(values))[there]
        self.keep(splitmix64(rows), values[there], 0)

    def keep(self, hashes: np.ndarray, values: np.ndarray, halved: int) -> None:
        """Take in values with the uint64 hashes of their rows, of which a half was left out so many times."""
        stricter, self.halved = halved > self.halved, max(self.halved, halved)
        low = self._low(hashes)
        self._hashes.append(hashes[low])
        self._kept.append(values[low])
        self._count += len(self._kept[-1])
        while stricter or self._count > SIZE:
            self.halved += not stricter
            stricter = False
            whole, kept = self.hashes(), self.values()
            low = self._low(whole)
            self._hashes, self._kept = [whole[low]], [kept[low]]
            self._count = len(self._kept[0])

    def hashes(self) -> np.ndarray:
        """Of the rows that are kept, uint64."""
        return np.concatenate(self._hashes) if self._hashes else np.zeros(0, np.uint64)

    def values(self) -> np.ndarray:
        """What is kept, in the order in which it came."""
        return np.concatenate(self._kept) if self._kept else np.zeros(0)

    def _low(self, hashes: np.ndarray) -> np.ndarray:
        return hashes >> np.uint64(64 - self.halved) == 0 if self.halved else np.ones(len(hashes), bool)
