"""Intervals that know that rows of one user are alike: AUC by structural components, summed per cluster."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from polyrec.metrics import student
from polyrec.metrics.estimate import Estimate, missing_class
from polyrec.metrics.ranked import BLOCK, Block, Ranked, rank
from polyrec.shapes import Bool, Float, Int

LEVEL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Influence:
    """A value, and by how much each cluster of rows moved it.

    The parts of independent clusters sum to about 0, and their squares to the variance of the value. Parts of
    several values over the same clusters may be subtracted (paired differences) or averaged (macro means)
    before squaring; that is what keeps a paired comparison paired.
    """

    value: float
    parts: Float[np.ndarray, "C"]
    note: str = ""  # why there is no interval
    rarer: int | None = None  # clusters that have rows of the class that fewer of them have

    @property
    def variance(self) -> float:
        """Variance of the value under new draws of clusters."""
        return float(self.parts @ self.parts)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the variance, from the fourth moment of the parts (Satterthwaite).

        Few clusters that carry all of it (five positives, one heavy user) leave few degrees, and a wider interval;
        never more than one less than the clusters of the rarer class, whose own spread so few say little of.
        """
        squares = self.parts * self.parts
        total = float(squares.sum())
        active = int(np.count_nonzero(squares))
        if active < 2:
            return 1
        spread = float(squares @ squares) - total * total / active
        exact = 2 * total * total / spread if spread > 0 else math.inf
        most = active - 1 if self.rarer is None else min(active, self.rarer) - 1
        return max(1, int(min(exact, most)))


def auc_influence(ranked: Ranked, clusters: int) -> Influence:
    """AUC with the influence of every cluster.

    V(positive) is the share of negatives that it beats, V(negative) the share of positives that beat it (ties
    one half): DeLong's structural components. A cluster's part is the sum of (V - AUC) / positives over its
    positives and of (V - AUC) / negatives over its negatives. Where every row is its own cluster, the variance
    is DeLong's (1988); else it is Obuchowski's (1997), up to the small-sample factor of its cross term.
    Both classes must be there.
    """
    rows, positives = len(ranked), ranked.positives
    negatives = rows - positives
    value = sum(float(np.diff(upto) @ share) for _, upto, share in _shares(ranked, negatives)) / positives
    both = np.zeros(2 * clusters)
    for block, upto, share in _shares(ranked, negatives, max(BLOCK, clusters)):
        beaten = np.repeat(share - value, block.sizes) / positives
        beat = np.repeat(1 - (upto[:-1] + upto[1:]) / (2 * positives) - value, block.sizes) / negatives
        code = block.clusters + np.where(block.labels, 0, clusters)
        both += np.bincount(code, weights=np.where(block.labels, beaten, beat), minlength=2 * clusters)
    with_positive, with_negative = np.count_nonzero(ranked.counts(clusters), axis=1).tolist()
    if with_positive < 2 or with_negative < 2:
        few = "positives" if with_positive < 2 else "negatives"
        return Influence(value, np.zeros(clusters), f"no interval: all {few} are one user's or one row")
    wider = np.sqrt([with_positive / (with_positive - 1), with_negative / (with_negative - 1)])
    return Influence(value, wider @ both.reshape(2, clusters), rarer=min(with_positive, with_negative))


def _shares(ranked: Ranked, negatives: int, least: int = BLOCK) -> Iterator[tuple[Block, np.ndarray, np.ndarray]]:
    """Blocks with the positives up to each group's start (and end), and the share of negatives each group beats."""
    before = 0
    for block in ranked.blocks(least):
        upto = before + np.concatenate([[0], np.cumsum(block.labels, dtype=np.int64)])[block.starts]
        before = int(upto[-1])
        rows = block.starts[:-1] + block.starts[1:] + 2 * block.first
        yield block, upto, (rows - upto[:-1] - upto[1:]) / (2 * negatives)


def auc(
    scores: Float[np.ndarray, "B"],
    labels: Bool[np.ndarray, "B"],
    clusters: Int[np.ndarray, "B"] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """AUC with an interval: DeLong's, or with clusters (users, say) one that allows for rows being alike.

    The interval is symmetric in log(AUC / (1 - AUC)), so that it stays within [0, 1], with Student's quantile
    for as many degrees of freedom as the clusters give.

    Args:
        scores: any real numbers, compared as float32.
        labels: positive or not.
        clusters: a code in [0, 2**31) for each row; rows with one code may depend on each other.
        level: how often such intervals should hold the truth.

    Raises:
        DataError: NaN among the scores, unequal lengths, codes out of bounds.

    Example:
        >>> scores, labels = np.array([0.1, 0.3, 0.2, 0.8, 0.6, 0.9]), np.array([0, 0, 1, 1, 0, 1]) > 0
        >>> found = auc(scores, labels)
        >>> [round(one, 3) for one in (found.value, found.low, found.high)]
        [0.778, 0.007, 0.999]
    """
    codes = np.arange(len(scores)) if clusters is None else clusters
    ranked = rank(scores, labels, codes)
    why = missing_class(len(ranked), ranked.positives)
    if why:
        return Estimate.undefined(why)
    count = int(codes.max()) + 1
    return auc_estimate(auc_influence(ranked, count), ranked, level)


def auc_estimate(found: Influence, ranked: Ranked, level: float = LEVEL) -> Estimate:
    """AUC with its interval, from what `auc_influence` found in the same rows."""
    if found.note:
        return Estimate.of(found.value, note=found.note)
    if found.value in (0.0, 1.0):
        return _perfect(found.value, ranked, len(found.parts), level)
    return Estimate.of(found.value, *within_unit(found, level))


def within_unit(found: Influence, level: float = LEVEL) -> tuple[float, float]:
    """An interval of a value in (0, 1), symmetric on the logit scale."""
    slope = found.value * (1 - found.value)
    half = student.quantile(level, found.freedom) * math.sqrt(found.variance) / slope
    middle = math.log(found.value / (1 - found.value))
    return _sigmoid(middle - half), _sigmoid(middle + half)


def _perfect(value: float, ranked: Ranked, clusters: int, level: float) -> Estimate:
    """A perfect ranking has no spread to estimate from. Of k independent pairs, all won: AUC^k bounds the chance."""
    held = ranked.counts(clusters) > 0
    pairs = max(1, min(*held.sum(axis=1).tolist(), int(held.any(axis=0).sum()) // 2))
    bound = ((1 - level) / 2) ** (1 / pairs)
    low, high = (bound, 1.0) if value == 1.0 else (0.0, 1 - bound)
    return Estimate.of(value, low, high, f"interval from {pairs:,} independent pairs, all of one outcome")


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
