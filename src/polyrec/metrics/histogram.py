"""Metrics that add up: counts in 65,536 bins of the logit, for many workers or more rows than memory holds."""

from dataclasses import dataclass, field

import numpy as np

from polyrec.errors import DataError
from polyrec.metrics.binary import entropy, losses
from polyrec.metrics.calibration import probabilities
from polyrec.metrics.estimate import Estimate, missing_class
from polyrec.metrics.ranked import check
from polyrec.shapes import Bool, Float

BINS = 65_536
EDGE = 16.0  # logits beyond it (probabilities within 1e-7 of 0 or 1) share the outermost bins


@dataclass(slots=True, eq=False)
class Histogram:
    """Positives and negatives by bins of equal width in the logit, with the exact sums of loss and prediction.

    Log-loss, normalised entropy and PCOC are exact; AUC counts pairs within a bin as one half, which is off by at
    most `error`. One megabyte, whatever the number of rows.

    Example:
        >>> one, two = Histogram(), Histogram()
        >>> one.add(np.array([-1.0, 2.0]), np.array([False, True]))
        >>> two.add(np.array([-2.0, 0.5]), np.array([False, True]))
        >>> (one + two).auc.value, one.rows
        (1.0, 2)
    """

    counts: Float[np.ndarray, "2 K"] = field(default_factory=lambda: np.zeros((2, BINS)))  # negatives, positives
    loss: float = 0.0
    predicted: float = 0.0

    def add(self, logits: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"]) -> None:
        """Count these rows.

        Raises:
            DataError: NaN among the logits, unequal lengths, labels that are not bool.
        """
        check(logits, labels)
        place = (np.clip(logits, -EDGE, EDGE) + EDGE) * (BINS / (2 * EDGE))
        code = np.minimum(place.astype(np.int32), BINS - 1)
        code[labels] += BINS
        self.counts += np.bincount(code, minlength=2 * BINS).reshape(2, BINS)
        self.loss += float(losses(logits, labels).sum(dtype=np.float64))
        self.predicted += float(probabilities(logits).sum(dtype=np.float64))

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram(self.counts + other.counts, self.loss + other.loss, self.predicted + other.predicted)

    @property
    def state(self) -> Float[np.ndarray, "K"]:
        """All of it as one array of float64: sum these over workers, then `from_state`."""
        return np.concatenate([self.counts.reshape(-1), [self.loss, self.predicted]])

    @classmethod
    def from_state(cls, state: Float[np.ndarray, "K"]) -> "Histogram":
        """The histogram of a state, or of a sum of states.

        Raises:
            DataError: an array of another length.
        """
        if state.shape != (2 * BINS + 2,):
            raise DataError(
                f"the state has shape {state.shape}; a histogram's has ({2 * BINS + 2},). Pass its `state`."
            )
        return cls(state[:-2].reshape(2, BINS).copy(), float(state[-2]), float(state[-1]))

    @property
    def rows(self) -> int:
        """Rows counted."""
        return int(self.counts.sum())

    @property
    def positives(self) -> int:
        """Rows with a positive label."""
        return int(self.counts[1].sum())

    @property
    def auc(self) -> Estimate:
        """Area under the ROC curve, to within `error`."""
        why = missing_class(self.rows, self.positives)
        if why:
            return Estimate.undefined(why)
        negatives, positives = self.counts
        below = np.cumsum(negatives) - negatives / 2
        return Estimate.of(float(positives @ below) / (self.positives * (self.rows - self.positives)))

    @property
    def error(self) -> float:
        """How far `auc` may be from the exact one: half the share of pairs that fell into one bin."""
        pairs = self.positives * (self.rows - self.positives)
        return float(self.counts[0] @ self.counts[1]) / (2 * pairs) if pairs else 0.0

    @property
    def log_loss(self) -> Estimate:
        """Mean cross-entropy in nats."""
        return Estimate.of(self.loss / self.rows) if self.rows else Estimate.undefined("no rows")

    @property
    def ne(self) -> Estimate:
        """Log-loss over the entropy of the observed rate."""
        why = missing_class(self.rows, self.positives)
        if why:
            return Estimate.undefined(why)
        return Estimate.of(self.loss / self.rows / float(entropy(np.array(self.positives / self.rows))))

    @property
    def pcoc(self) -> Estimate:
        """Predicted over observed."""
        if not self.positives:
            return Estimate.undefined("no positives" if self.rows else "no rows")
        return Estimate.of(self.predicted / self.positives)
