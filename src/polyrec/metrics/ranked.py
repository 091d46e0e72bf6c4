"""Rows in order of score, by one sort of packed 64-bit keys.

A float32 score becomes 32 bits that sort as the score does; below them go the label and, where asked for, a
cluster. Sorting the packed integers is several times faster than sorting indices by score, and it brings the
label along.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from polyrec.errors import DataError
from polyrec.shapes import Bool, Float, Int

CLUSTERS = 2**31  # codes that fit beside a score and a label
BLOCK = 2**18  # rows whose columns are made at a time: they stay in the cache, and memory does not grow with rows
_SIGN = np.int32(-(2**31))


def check(scores: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"]) -> None:
    """Refuse scores without an order and columns that do not belong together.

    Raises:
        DataError: unequal lengths, labels that are not bool, NaN among the scores.
    """
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise DataError(f"scores have shape {scores.shape}, labels {labels.shape}: give one score and label a row.")
    if labels.dtype != np.bool_:
        raise DataError(f"labels are {labels.dtype}; they must be bool. Convert them with labels > 0.5.")
    if np.isnan(scores).any():
        bad = np.isnan(scores)
        raise DataError(
            f"{int(bad.sum()):,} of {len(scores):,} scores are NaN, the first in row {int(bad.argmax())}: they have "
            "no order. Find the diverged model or the bad input before measuring."
        )


def check_codes(what: str, codes: Int[np.ndarray, "B"], rows: int) -> None:
    """Refuse codes that are not one small non-negative integer a row.

    Raises:
        DataError: another length, another type, or a code outside [0, 2**31).
    """
    if codes.shape != (rows,) or codes.dtype.kind not in "iu":
        raise DataError(f"{what} are {codes.dtype} of shape {codes.shape}: give one integer for each of {rows:,} rows.")
    if rows and (int(codes.min()) < 0 or int(codes.max()) >= CLUSTERS):
        raise DataError(
            f"{what} run from {int(codes.min())} to {int(codes.max())}; they must lie in [0, {CLUSTERS}). "
            "Number them with np.unique(..., return_inverse=True)."
        )


def ordered_bits(scores: Float[np.ndarray, "B"]) -> Int[np.ndarray, "B"]:
    """32 bits that sort as float32 scores do; -0.0 and 0.0 are equal.

    Example:
        >>> bits = ordered_bits(np.array([-np.inf, -1.0, -0.0, 0.0, 2.0, np.inf]))
        >>> [int(one) for one in np.sign(np.diff(bits.astype(np.int64)))]
        [1, 1, 0, 1, 1]
    """
    bits = (scores.astype(np.float32, copy=False) + np.float32(0)).view(np.int32)  # -0.0 + 0.0 is 0.0
    flip = bits >> 31
    flip |= _SIGN
    flip ^= bits
    return flip.view(np.uint32)


def scores_of(bits: Int[np.ndarray, "B"]) -> Float[np.ndarray, "B"]:
    """The scores that `ordered_bits` packed."""
    signed = bits.view(np.int32)
    flip = ~(signed >> 31)
    flip |= _SIGN
    flip ^= signed
    scores: np.ndarray = flip.view(np.float32)
    return scores


def packed(scores: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"]) -> Int[np.ndarray, "B"]:
    """Score bits and, lowest, the label, in one uint64; not sorted."""
    key: np.ndarray = ordered_bits(scores).astype(np.uint64)
    key <<= np.uint64(1)
    key |= labels
    return key


class Block(NamedTuple):
    """Consecutive rows of a ranking, groups of equal scores whole.

    `first`: the place of its first row among all. `starts` has the first row (in the block) of each group of equal
    scores, and the number of rows at its end.
    """

    first: int
    scores: Float[np.ndarray, "B"]
    labels: Bool[np.ndarray, "B"]
    clusters: Int[np.ndarray, "B"]
    starts: Int[np.ndarray, "K1"]

    @property
    def sizes(self) -> Int[np.ndarray, "K"]:
        """Rows in each group of equal scores."""
        return np.diff(self.starts)


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Rows by rising score; among equal scores, negatives first. Eight bytes a row: `blocks` gives their columns."""

    key: Int[np.ndarray, "B"]  # uint64: the score's bits, the label, the cluster
    positives: int

    def __len__(self) -> int:
        return len(self.key)

    def blocks(self, least: int = BLOCK) -> Iterator[Block]:
        """The rows in order, at least so many at a time, so that what is made of them stays small."""
        first = 0
        while first < len(self.key):
            last = min(first + least, len(self.key))
            if last < len(self.key):
                after = (int(self.key[last - 1]) >> 32) + 1
                last = int(np.searchsorted(self.key, np.uint64(after << 32)))
            yield _block(first, self.key[first:last])
            first = last

    def counts(self, clusters: int) -> Int[np.ndarray, "2 C"]:
        """Positive and negative rows of each cluster."""
        found = np.zeros(2 * clusters, dtype=np.int64)
        for block in self.blocks(max(BLOCK, clusters)):
            found += np.bincount(block.clusters + np.where(block.labels, 0, clusters), minlength=2 * clusters)
        return found.reshape(2, clusters)


def _block(first: int, key: np.ndarray) -> Block:
    bits = (key >> np.uint64(32)).astype(np.uint32)
    low = key.astype(np.uint32)
    changes = np.flatnonzero(bits[1:] != bits[:-1])
    return Block(
        first=first,
        scores=scores_of(bits),
        labels=(low >> np.uint32(31)).astype(bool),
        clusters=(low & np.uint32(CLUSTERS - 1)).astype(np.int64),
        starts=np.concatenate([[0], changes + 1, [len(bits)]]),
    )


def rank(
    scores: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"], clusters: Int[np.ndarray, "B"] | None = None
) -> Ranked:
    """Rows by rising score, with their labels and clusters (all 0 where none are given).

    Raises:
        DataError: see `check` and `check_codes`.

    Example:
        >>> ranked = rank(np.array([2.0, 1.0, 2.0]), np.array([True, True, False]), np.array([7, 8, 9]))
        >>> block = next(ranked.blocks())
        >>> block.clusters.tolist(), block.labels.tolist(), block.starts.tolist()
        ([8, 9, 7], [True, False, True], [0, 1, 3])
    """
    check(scores, labels)
    if clusters is not None:
        check_codes("clusters", clusters, len(scores))
    key = np.empty(len(scores), dtype=np.uint64)
    for at in range(0, len(key), BLOCK):
        part = slice(at, at + BLOCK)
        low = packed(scores[part], labels[part])
        low <<= np.uint64(31)
        if clusters is not None:
            low |= clusters[part].astype(np.uint64)
        key[part] = low
    key.sort()
    return Ranked(key, int(np.count_nonzero(labels)))
