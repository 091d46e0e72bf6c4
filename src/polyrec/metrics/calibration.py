"""Whether predicted probabilities are observed rates: PCOC, ECE and the reliability curve."""

from dataclasses import dataclass

import numpy as np

from polyrec.metrics.estimate import Estimate
from polyrec.metrics.ranked import Ranked, check, rank
from polyrec.shapes import Bool, Float, Int

BINS = 20  # equal-mass bins of ECE and of reliability curves


def probabilities(logits: Float[np.ndarray, "B"]) -> Float[np.ndarray, "B"]:
    """1 / (1 + exp(-z)) in float32, without overflow.

    Example:
        >>> probabilities(np.array([-1000.0, 0.0, 1000.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    z = logits.astype(np.float32, copy=False)
    small = np.exp(-np.abs(z))
    found: np.ndarray = np.where(z >= 0, np.float32(1), small)
    found /= 1 + small
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Predicted against observed, bin by bin, from the lowest predictions to the highest.

    ECE = sum over bins of rows / all rows x |predicted - observed|.
    """

    predicted: Float[np.ndarray, "K"]  # mean probability
    observed: Float[np.ndarray, "K"]  # share of positives
    rows: Int[np.ndarray, "K"]

    @property
    def ece(self) -> Estimate:
        """The expected calibration error of these bins."""
        total = int(self.rows.sum())
        if not total:
            return Estimate.undefined("no rows")
        return Estimate.of(float(np.abs(self.predicted - self.observed) @ self.rows) / total)


def edges(ranked: Ranked, bins: int = BINS) -> Int[np.ndarray, "K1"]:
    """Where bins of about equal size begin in the ranked rows; the number of rows at the end.

    Rows of equal scores stay together, in the bin of the middle of their group, so there may be fewer bins.
    """
    rows = len(ranked)
    if not rows:
        return np.zeros(1, dtype=np.int64)
    found, before = [0], 0
    for block in ranked.blocks():
        begin, end = block.first + block.starts[:-1], block.first + block.starts[1:]
        bin_of = (begin + end - 1) * bins // (2 * rows)
        found += begin[np.diff(bin_of, prepend=before if block.first else bin_of[0]) != 0].tolist()
        before = bin_of[-1]
    return np.array([*found, rows])


def reliability(logits: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"], bins: int = BINS) -> Reliability:
    """The reliability curve over equal-mass bins of the predictions.

    Raises:
        DataError: NaN among the logits, unequal lengths, labels that are not bool.
    """
    ranked = rank(logits, labels)
    sums = BinSums(edges(ranked, bins))
    for block in ranked.blocks():
        sums.add(block.first, probabilities(block.scores), block.labels)
    return sums.curve()


class BinSums:
    """What a reliability curve is made of, from ranked rows block after block.

    Args:
        bounds: where bins begin, and the number of rows at the end; see `edges`.
    """

    def __init__(self, bounds: Int[np.ndarray, "K1"]) -> None:
        self.bounds = bounds
        self.predicted, self.observed = np.zeros(len(bounds) - 1), np.zeros(len(bounds) - 1)

    def add(self, first: int, predicted: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"]) -> np.ndarray:
        """Take in the rows from the one numbered `first` on; returns how many of them fell into each bin."""
        begin = np.clip(self.bounds - first, 0, len(labels))
        rows: np.ndarray = np.diff(begin)
        some = rows > 0
        at = begin[:-1][some]
        self.predicted[some] += np.add.reduceat(predicted, at, dtype=np.float64)
        self.observed[some] += np.add.reduceat(labels, at, dtype=np.float64)
        return rows

    def curve(self) -> Reliability:
        """The curve of all rows taken in."""
        rows = np.diff(self.bounds)
        return Reliability(self.predicted / rows, self.observed / rows, rows)


def ece(logits: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"], bins: int = BINS) -> Estimate:
    """Expected calibration error over equal-mass bins (Naeini et al. 2015; equal mass: Nixon et al. 2019).

    Bins hold equally many rows, because click probabilities crowd near 0, where bins of equal width put
    everything into one. ECE of a finite sample is above 0 even for perfect predictions: read its interval.

    Raises:
        DataError: as `reliability`.

    Example:
        >>> ece(np.zeros(4), np.array([True, False, True, True])).value
        0.25
    """
    return reliability(logits, labels, bins).ece


def pcoc(logits: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"]) -> Estimate:
    """Predicted over observed: sum of probabilities / positives. 1 is calibrated on average, 2 predicts twice.

    Raises:
        DataError: NaN among the logits, unequal lengths, labels that are not bool.

    Example:
        >>> pcoc(np.zeros(4), np.array([True, False, False, False])).value
        2.0
    """
    check(logits, labels)
    positives = int(np.count_nonzero(labels))
    if not positives:
        return Estimate.undefined("no positives" if len(labels) else "no rows")
    return Estimate.of(float(probabilities(logits).sum(dtype=np.float64)) / positives)
