"""Metrics of one set of rows with binary labels: AUC, log-loss, normalised entropy."""

import numpy as np

from polyrec.metrics.estimate import Estimate, missing_class
from polyrec.metrics.ranked import check, packed
from polyrec.shapes import Bool, Float, Int


def auc(scores: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"]) -> Estimate:
    """Area under the ROC curve, exact; pairs with equal scores count one half.

    AUC = (pairs won + pairs tied / 2) / (positives x negatives), the Mann-Whitney statistic. Scores are
    compared as float32; infinite ones have an order like any other. No interval: see `interval.auc`.

    Raises:
        DataError: NaN among the scores, unequal lengths, labels that are not bool.

    Example:
        >>> auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True])).value
        0.875
        >>> auc(np.array([0.1, 0.4]), np.array([False, False])).note
        'no positives'
    """
    check(scores, labels)
    rows, positives = len(labels), int(np.count_nonzero(labels))
    why = missing_class(rows, positives)
    if why:
        return Estimate.undefined(why)
    key = packed(scores, labels)
    key.sort()
    at = np.flatnonzero((key & np.uint64(1)).astype(bool))
    won = int(at.sum()) - positives * (positives - 1) // 2  # negatives sort before positives: ties count as won
    return Estimate.of((won - int(tied_pairs(key)[1].sum()) / 2) / (positives * (rows - positives)))


def tied_pairs(key: Int[np.ndarray, "B"]) -> tuple[Int[np.ndarray, "K"], Int[np.ndarray, "K"]]:
    """Where sorted keys (label in the lowest bit) tie across labels: the last negative of each such group of
    equal scores, and how many pairs of a positive and a negative the group has.
    """
    last = np.flatnonzero((key[1:] ^ key[:-1]) == 1)  # equal but for the label
    first = np.searchsorted(key, key[last])
    end = np.searchsorted(key, key[last + 1], side="right")
    return last, (last + 1 - first) * (end - last - 1)


def losses(logits: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"]) -> Float[np.ndarray, "B"]:
    """Cross-entropy of each row, in nats: log(1 + exp(-z)) of a positive, log(1 + exp(z)) of a negative.

    Example:
        >>> [round(one, 4) for one in losses(np.array([0.0, -1000.0]), np.array([True, False])).tolist()]
        [0.6931, 0.0]
    """
    z = logits.astype(np.float32, copy=False)
    wrong = np.where(labels, -z, z)
    small = np.abs(z)
    np.negative(small, out=small)
    np.exp(small, out=small)
    np.log1p(small, out=small)
    np.maximum(wrong, 0, out=wrong)
    wrong += small
    return wrong


def log_loss(logits: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"]) -> Estimate:
    """Mean cross-entropy in nats, from logits; lower is better.

    Raises:
        DataError: NaN among the logits, unequal lengths, labels that are not bool.

    Example:
        >>> round(log_loss(np.array([0.0, 2.0]), np.array([False, True])).value, 6)
        0.410038
    """
    check(logits, labels)
    if not len(logits):
        return Estimate.undefined("no rows")
    row_losses = losses(logits, labels)
    return mean_loss(float(row_losses.sum(dtype=np.float64)), len(logits), int(np.isinf(row_losses).sum()))


def mean_loss(total: float, rows: int, wrong: int) -> Estimate:
    """The mean of so many rows, undefined where `wrong` of them were certain and wrong."""
    if wrong:
        return Estimate.undefined(f"infinite: {wrong:,} rows were given probability 0 or 1 and were wrong")
    return Estimate.of(total / rows)


def entropy(rate: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
    """Entropy in nats of a coin that falls positive at this rate; 0 at rates 0 and 1."""
    rate = np.asarray(rate, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        both = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
    return np.where((rate > 0) & (rate < 1), both, 0.0)


def ne(logits: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"]) -> Estimate:
    """Normalised entropy: log-loss over the entropy of the observed rate (He et al., ADKDD 2014, equation 3).

    1 is what predicting the observed rate for every row gets; lower is better.

    Raises:
        DataError: as `log_loss`.

    Example:
        >>> round(ne(np.zeros(4), np.array([True, False, True, False])).value, 6)
        1.0
        >>> ne(np.zeros(4), np.ones(4, dtype=bool)).note
        'no negatives: the observed rate has no entropy'
    """
    loss = log_loss(logits, labels)
    why = missing_class(len(labels), int(np.count_nonzero(labels)))
    if why:
        return Estimate.undefined(why if why == "no rows" else f"{why}: the observed rate has no entropy")
    if loss.value is None:
        return loss
    return Estimate.of(loss.value / float(entropy(labels.mean(dtype=np.float64))))
