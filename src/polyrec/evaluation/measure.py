"""All metrics of one cell, with what pooled and macro rows need to build on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from polyrec.metrics import interval, resample
from polyrec.metrics.binary import entropy, losses, mean_loss
from polyrec.metrics.calibration import BinSums, Reliability, edges, probabilities
from polyrec.metrics.estimate import Estimate, missing_class
from polyrec.metrics.grouped import ByUser
from polyrec.metrics.interval import Influence
from polyrec.metrics.ranked import Ranked
from polyrec.metrics.resample import Resample
from polyrec.shapes import Float

METRICS = ("auc", "gauc", "log_loss", "ne", "ece", "pcoc")
FEW_USERS = 10  # with rows of both classes: below, resampling them says nothing of the spread of GAUC


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The six metrics of a cell's rows; replicates (bootstrap) and the AUC's influence where there are any."""

    n: int
    positives: int
    estimates: Mapping[str, Estimate]
    replicates: Mapping[str, Float[np.ndarray, "K"]]
    influence: Influence | None
    reliability: Reliability


def measure(ranked: Ranked, users: ByUser | None, user_clusters: np.ndarray, draws: Resample) -> Measured:
    """Every metric of one cell.

    Args:
        ranked: the cell's rows by rising logit, with their clusters.
        users: AUC by user; None where rows have no user.
        user_clusters: the cluster of each user.
        draws: the replicates, the same for every cell of a report.
    """
    rows, positives = len(ranked), ranked.positives
    sums = _Sums.of(ranked, draws.clusters)
    reliability = sums.bins.curve()
    estimates = _point_estimates(sums, rows, positives, reliability)
    replicates: dict[str, np.ndarray] = {}
    if rows and not sums.wrong:
        replicates = _replicates(sums, ranked.counts(draws.clusters), draws)
        estimates |= _intervals(estimates, replicates)
    influence = None
    if not missing_class(rows, positives):
        influence = interval.auc_influence(ranked, draws.clusters)
        estimates["auc"] = interval.auc_estimate(influence, ranked)
    estimates["gauc"], drawn = _gauc(users, user_clusters, rows, draws)
    if drawn is not None:
        replicates["gauc"] = drawn
    return Measured(rows, positives, estimates, replicates, influence, reliability)


@dataclass(slots=True)
class _Sums:
    """Sums over a cell's rows, taken block after block."""

    bins: BinSums
    lost: np.ndarray  # loss by cluster
    gap: np.ndarray  # predicted - observed by cluster and bin
    loss: float = 0.0
    wrong: int = 0  # rows that were given probability 0 or 1 and were wrong
    predicted: float = 0.0

    @classmethod
    def of(cls, ranked: Ranked, clusters: int) -> "_Sums":
        bounds = edges(ranked)
        bins = len(bounds) - 1
        sums = cls(BinSums(bounds), np.zeros(clusters), np.zeros(clusters * bins))
        for block in ranked.blocks():
            predicted = probabilities(block.scores)
            row_losses = losses(block.scores, block.labels)
            sizes = sums.bins.add(block.first, predicted, block.labels)
            code = block.clusters * bins + np.repeat(np.arange(bins), sizes)
            sums.gap += np.bincount(code, weights=predicted - block.labels, minlength=clusters * bins)
            sums.lost += np.bincount(block.clusters, weights=row_losses, minlength=clusters)
            sums.loss += float(row_losses.sum(dtype=np.float64))
            sums.wrong += int(np.isinf(row_losses).sum())
            sums.predicted += float(predicted.sum(dtype=np.float64))
        return sums


def _point_estimates(sums: _Sums, rows: int, positives: int, reliability: Reliability) -> dict[str, Estimate]:
    why = missing_class(rows, positives)
    if not rows:
        return dict.fromkeys(METRICS, Estimate.undefined(why))
    loss = mean_loss(sums.loss, rows, sums.wrong)
    ratio = ne = Estimate.undefined(why if why == "no positives" else f"{why}: the observed rate has no entropy")
    if why == "no positives":
        ne = Estimate.undefined("no positives: the observed rate has no entropy")
    if not why:
        ne = loss if loss.value is None else Estimate.of(loss.value / float(entropy(np.array(positives / rows))))
    if positives:
        ratio = Estimate.of(sums.predicted / positives)
    return {
        "auc": Estimate.undefined(why),
        "gauc": Estimate.undefined(why),
        "log_loss": loss,
        "ne": ne,
        "ece": reliability.ece,
        "pcoc": ratio,
    }


def _replicates(sums: _Sums, counts: np.ndarray, draws: Resample) -> dict[str, np.ndarray]:
    """Each metric in every replicate, and as `noise` the ECE that resampling alone gives to a calibrated model."""
    gap = sums.gap.reshape(draws.clusters, -1)
    n, positives = counts.sum(axis=0), counts[0]
    drawn = draws.sums(np.column_stack([n, positives, sums.lost, gap]))
    rows, happened, lost, gaps = drawn[:, 0], drawn[:, 1], drawn[:, 2], drawn[:, 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "log_loss": lost / rows,
            "ne": lost / rows / entropy(happened / rows),
            "pcoc": 1 + gaps.sum(axis=1) / happened,
            "ece": np.abs(gaps).sum(axis=1) / rows,
            "noise": np.abs(gaps / rows[:, None] - gap.sum(axis=0) / n.sum()).sum(axis=1),
        }


def _intervals(estimates: Mapping[str, Estimate], replicates: Mapping[str, np.ndarray]) -> dict[str, Estimate]:
    found = {}
    for metric in ("log_loss", "ne", "pcoc", "ece"):
        drawn, value = replicates[metric], estimates[metric].value
        if value is None:
            continue
        bounds = resample.percentiles(drawn)
        if bounds is None:
            found[metric] = estimates[metric].noted("no interval: too few users or rows to resample")
        elif metric == "ece":
            found[metric] = Estimate.of(value, *ece_bounds(value, drawn, replicates["noise"]))
        else:
            found[metric] = Estimate.of(value, *bounds, note=estimates[metric].note or "")
    return found


def ece_bounds(value: float, drawn: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
    """An interval for the ECE of the population, which that of a sample exceeds on average.

    Below: the triangle inequality bounds the true ECE by the sample's minus that of the noise alone, so a
    calibrated model's interval reaches 0. Above: the spread of the replicates around their own mean.
    """
    tail = (1 - interval.LEVEL) / 2
    low = value - float(np.quantile(noise[np.isfinite(noise)], 1 - tail))
    finite = drawn[np.isfinite(drawn)]
    return max(0.0, low), value + float(np.quantile(finite, 1 - tail) - finite.mean())


def _gauc(
    users: ByUser | None, user_clusters: np.ndarray, rows: int, draws: Resample
) -> tuple[Estimate, np.ndarray | None]:
    if not rows:
        return Estimate.undefined("no rows"), None
    if users is None:
        return Estimate.undefined("rows have no user, or all the same one"), None
    alone = rows - users.skipped_rows - int(users.rows.sum())
    found = users.estimate.noted(f"{alone:,} rows have no user" if alone else "")
    both = len(users.users)
    if found.value is None:
        return found, None
    if both < FEW_USERS:
        return found.noted(f"no interval: {both} users with both classes, fewer than {FEW_USERS}"), None
    code, clusters = user_clusters[users.users], draws.clusters
    weighted = np.bincount(code, weights=users.aucs * users.rows, minlength=clusters)
    counted = np.bincount(code, weights=users.rows, minlength=clusters)
    drawn = draws.sums(np.column_stack([weighted, counted]))
    with np.errstate(divide="ignore", invalid="ignore"):
        replicates = drawn[:, 0] / drawn[:, 1]
    bounds = resample.percentiles(replicates)
    if bounds is None:
        return found.noted("no interval: too few users to resample"), None
    return Estimate.of(found.value, *bounds, note=found.note or ""), replicates
