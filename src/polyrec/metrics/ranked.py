"""Rows in order of score, by one sort of packed 64-bit keys.

A float32 score becomes 32 bits that sort as the score does; below them go the label and, where asked for, a
cluster. Sorting the packed integers is several times faster than sorting indices by score, and it brings the
label along.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyrec.errors import DataError
from polyrec.shapes import Bool, Float, Int

CLUSTERS = 2**31  # codes that fit beside a score and a label
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


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Rows by rising score; among equal scores, negatives first.

    `starts` has the first row of each group of equal scores, and the number of rows at its end.
    """

    scores: Float[np.ndarray, "B"]
    labels: Bool[np.ndarray, "B"]
    clusters: Int[np.ndarray, "B"]
    starts: Int[np.ndarray, "K1"]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def positives(self) -> int:
        """Rows with a positive label."""
        return int(np.count_nonzero(self.labels))

    @property
    def sizes(self) -> Int[np.ndarray, "K"]:
        """Rows in each group of equal scores."""
        return np.diff(self.starts)


def rank(
    scores: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"], clusters: Int[np.ndarray, "B"] | None = None
) -> Ranked:
    """Rows by rising score, with their labels and clusters (all 0 where none are given).

    Raises:
        DataError: see `check` and `check_codes`.

    Example:
        >>> ranked = rank(np.array([2.0, 1.0, 2.0]), np.array([True, True, False]), np.array([7, 8, 9]))
        >>> ranked.clusters.tolist(), ranked.labels.tolist(), ranked.starts.tolist()
        ([8, 9, 7], [True, False, True], [0, 1, 3])
    """
    check(scores, labels)
    key: np.ndarray = ordered_bits(scores).astype(np.uint64)
    key <<= np.uint64(1)
    key |= labels
    key <<= np.uint64(31)
    if clusters is not None:
        check_codes("clusters", clusters, len(scores))
        key |= clusters.astype(np.uint64)
    key.sort()
    bits = (key >> np.uint64(32)).astype(np.uint32)
    low = key.astype(np.uint32)
    starts = np.concatenate([[0], np.flatnonzero(bits[1:] != bits[:-1]) + 1, [len(bits)]]) if len(bits) else np.zeros(1)
    return Ranked(
        scores=scores_of(bits),
        labels=(low >> np.uint32(31)).astype(bool),
        clusters=(low & np.uint32(CLUSTERS - 1)).astype(np.int32),
        starts=starts.astype(np.int64),
    )


def sums(codes: Int[np.ndarray, "B"], count: int, columns: Sequence[np.ndarray | None]) -> Float[np.ndarray, "C K"]:
    """Each column summed by code; None counts rows."""
    found = [np.bincount(codes, weights=one, minlength=count) for one in columns]
    return np.stack(found, axis=1).astype(np.float64, copy=False) if found else np.zeros((count, 0))
