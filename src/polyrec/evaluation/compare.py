"""Two models on the same rows, cell by cell: what gained, what lost, what cannot be told."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from polyrec.errors import DataError
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.comparison import Comparison
from polyrec.evaluation.difference import Difference, Verdict, holm
from polyrec.evaluation.groups import MACRO, POOLED, Groups
from polyrec.evaluation.tabulate import refuse_nan
from polyrec.metrics import interval, student
from polyrec.metrics.binary import losses
from polyrec.metrics.estimate import missing_class
from polyrec.metrics.interval import Influence, auc_influence
from polyrec.metrics.ranked import rank
from polyrec.schema import Target

METRICS = ("auc", "log_loss")
FEW = 10  # users with a positive, or with a negative: below, a cell's spread cannot be told from its own rows
_HIGHER_IS_BETTER = {"auc": True, "log_loss": False}
Runs = Sequence[Influence]


def compare(
    baseline: Collected | Sequence[Collected],
    other: Collected | Sequence[Collected],
    *,
    names: tuple[str, str] = ("baseline", "other"),
    level: float = interval.LEVEL,
) -> Comparison:
    """Paired differences of AUC and log-loss in every cell, over all rows, and in the mean over scenarios.

    Each metric is linearised: every user's rows move it by some amount (AUC by DeLong's structural components).
    A user's amounts under both models are subtracted before they are squared and summed, which keeps the
    comparison paired, and gives the variance that a bootstrap over users would, without its noise. Several runs of
    one recipe are averaged, and the spread between them is a second source of doubt beside the users, each with
    Student's quantile for its own degrees of freedom (`student.half_width`). Verdicts allow for the number of
    cells (Holm), named cells apart from the pooled and mean ones. A cell with fewer than 10 users of either class has
    its difference and no interval or verdict: variances estimated from so few are far too small, and false verdicts
    would be the rule.

    Args:
        baseline: predictions of one run, or of several runs of one recipe that differ in their seed.
        other: the same of what is compared with it.
        names: what the two are called.
        level: of the intervals; 1 - level is the bar of the verdicts.

    Raises:
        DataError: no run, NaN among logits, or runs that were tried on different rows.
    """
    first, second = _listed(baseline, names[0]), _listed(other, names[1])
    check_same_rows([*first, *second])
    for run in (*first, *second):
        refuse_nan(run)
    rows = first[0]
    groups = Groups.of(rows)
    found = [
        _difference(name, target, metric, counts, runs, len(first), level)
        for target in rows.targets
        for metric in METRICS
        for name, counts, runs in _cells(rows, (*first, *second), groups, target, metric)
    ]
    found.sort(key=lambda one: (METRICS.index(one.metric), _place(one.scenario, rows.scenarios)))
    return Comparison(names[0], names[1], _judged(found, 1 - level), (len(first), len(second)), len(rows), level)


def check_same_rows(runs: Sequence[Collected]) -> None:
    """Refuse to pair predictions of different rows.

    Raises:
        DataError: which runs differ, and in what.
    """
    for place, (one, next_one) in enumerate(pairwise(runs)):
        if len(one) != len(next_one):
            what = f"{len(one):,} and {len(next_one):,} rows"
        elif sorted(one.targets) != sorted(next_one.targets):
            what = f"targets {_names(one)} and {_names(next_one)}"
        elif one.fingerprint != next_one.fingerprint:
            what = f"{len(one):,} rows each, but with other scenarios, users or labels"
        else:
            continue
        raise DataError(
            f"runs {place + 1} and {place + 2} were tried on different rows: {what}. Only equal rows can be paired: "
            "evaluate both on the same files and split."
        )


def _names(run: Collected) -> str:
    return ", ".join(target.name for target in run.targets)


def _listed(runs: Collected | Sequence[Collected], name: str) -> list[Collected]:
    found = [runs] if isinstance(runs, Collected) else list(runs)
    if not found:
        raise DataError(f"{name!r} has 0 runs: nothing to compare. Give at least one.")
    return found


def _place(scenario: str, scenarios: Sequence[str]) -> int:
    return (*scenarios, MACRO, POOLED).index(scenario)


def _cells(
    rows: Collected, runs: Sequence[Collected], groups: Groups, target: Target, metric: str
) -> Iterator[tuple[str, tuple[int, int], Runs | str]]:
    """Each cell's rows, positives, and the influence of each run or why there is none; the mean of cells last."""
    totals: list[Influence] = []
    defined, n, positives = 0, 0, 0
    for name, at in groups.cells(rows, target):
        labels = rows.labels[target][at]
        counts = len(labels), int(np.count_nonzero(labels))
        found = _influences(metric, [run.logits[target][at] for run in runs], labels, groups.cluster[at], groups)
        yield name, counts, found
        if name != POOLED:
            n, positives = n + counts[0], positives + counts[1]
            if not isinstance(found, str):
                defined += 1
                totals = [_sum(one, more) for one, more in zip(totals, found, strict=True)] if totals else found
    mean = [Influence(one.value / defined, one.parts / defined, one.note) for one in totals]
    yield MACRO, (n, positives), mean or "undefined in every scenario"


def _sum(one: Influence, more: Influence) -> Influence:
    return Influence(one.value + more.value, one.parts + more.parts, one.note or more.note)


def _influences(
    metric: str, logits: Sequence[np.ndarray], labels: np.ndarray, cluster: np.ndarray, groups: Groups
) -> list[Influence] | str:
    why = missing_class(len(labels), int(np.count_nonzero(labels)))
    if metric == "auc":
        return why or [auc_influence(rank(one, labels, cluster), groups.clusters) for one in logits]
    if not len(labels):
        return why
    rarer = min(len(np.unique(cluster[labels])), len(np.unique(cluster[~labels])))
    found = [replace(loss_influence(losses(one, labels), cluster, groups.clusters), rarer=rarer) for one in logits]
    return found if all(math.isfinite(one.value) for one in found) else "infinite: probability 0 or 1, and wrong"


def loss_influence(row_losses: np.ndarray, cluster: np.ndarray, clusters: int) -> Influence:
    """The mean loss with the influence of every cluster: (its loss - mean x its rows) / rows, widened by
    sqrt(C / (C - 1)) for C clusters that have rows.
    """
    rows = np.bincount(cluster, minlength=clusters)
    lost = np.bincount(cluster, weights=row_losses, minlength=clusters)
    active, value = int(np.count_nonzero(rows)), float(lost.sum() / rows.sum())
    if not math.isfinite(value):
        return Influence(math.inf, np.zeros(clusters))
    if active < 2:
        return Influence(value, np.zeros(clusters), "no interval: all rows are one user's")
    return Influence(value, (lost - value * rows) / rows.sum() * math.sqrt(active / (active - 1)))


def _difference(
    name: str, target: Target, metric: str, counts: tuple[int, int], runs: Runs | str, first: int, level: float
) -> Difference:
    where = (name, target.task, target.space, metric)
    n, positives = counts
    if isinstance(runs, str):
        return Difference(*where, None, None, None, n=n, positives=positives, note=runs)
    one, two = runs[:first], runs[first:]
    before, after = (float(np.mean([run.value for run in side])) for side in (one, two))
    change = after - before
    plain = Difference(*where, before, after, change, verdict="cannot be told", n=n, positives=positives)
    note = next((run.note for run in runs if run.note), "")
    if note:
        return replace(plain, note=note)
    parts = np.mean([run.parts for run in two], axis=0) - np.mean([run.parts for run in one], axis=0)
    rarer = min((run.rarer for run in runs if run.rarer is not None), default=None)
    if rarer is not None and rarer < FEW:
        return replace(plain, note=f"no interval: only {rarer} users have rows of one class, at least {FEW} are needed")
    paired = Influence(change, parts, rarer=rarer)
    if change and not paired.variance:
        return replace(plain, note="no interval: all users' rows moved it alike, so there is no spread to judge by")
    pieces = [(paired.variance, paired.freedom), _spread((one, two))]
    half = student.half_width(pieces, level)
    return replace(plain, low=change - half, high=change + half, p=student.doubt(change, pieces))


def _spread(sides: Sequence[Runs]) -> tuple[float, int]:
    """Variance of the difference that comes from training again, and its degrees of freedom.

    Both recipes are taken to spread alike, since two or three runs say little of each. Runs also differ because
    each fits these very users a little better or worse by chance, which the variance over users has already:
    counted twice, it makes the interval too wide rather than too narrow.
    """
    freedom = sum(len(runs) - 1 for runs in sides)
    if not freedom:
        return 0.0, 1
    total = sum(len(runs) * float(np.var([run.value for run in runs])) for runs in sides)
    return total / freedom * sum(1 / len(runs) for runs in sides), freedom


def _judged(found: Sequence[Difference], bar: float) -> tuple[Difference, ...]:
    judged = list(found)
    for metric in METRICS:
        for summary in (False, True):
            family = [
                place
                for place, one in enumerate(judged)
                if one.metric == metric and one.p is not None and (one.scenario in (POOLED, MACRO)) == summary
            ]
            adjusted = holm([judged[place].p or 0.0 for place in family])
            for place, value in zip(family, adjusted, strict=True):
                judged[place] = replace(judged[place], adjusted=value, verdict=_verdict(judged[place], value, bar))
    return tuple(judged)


def _verdict(one: Difference, adjusted: float, bar: float) -> Verdict:
    if adjusted > bar or not one.difference:
        return "cannot be told"
    return "gained" if (one.difference > 0) == _HIGHER_IS_BETTER[one.metric] else "lost"
