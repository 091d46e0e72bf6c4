"""From collected rows to the lines of a report: each scenario, their mean, and all rows pooled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyrec.errors import DataError
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.groups import MACRO, POOLED, Groups, Rows
from polyrec.evaluation.measure import METRICS, Measured, ece_bounds, measure
from polyrec.evaluation.rows import Row
from polyrec.metrics import interval, resample
from polyrec.metrics.calibration import Reliability
from polyrec.metrics.estimate import Estimate
from polyrec.metrics.grouped import by_user
from polyrec.metrics.interval import Influence
from polyrec.metrics.ranked import rank
from polyrec.metrics.resample import Resample
from polyrec.schema import Target


@dataclass(frozen=True, slots=True)
class Table:
    """A report's lines, its reliability curves, and how its intervals were made."""

    rows: tuple[Row, ...]
    reliability: tuple[Mapping[str, Any], ...]
    intervals: Mapping[str, Any]


def tabulate(collected: Collected, replicates: int = resample.REPLICATES, seed: int = 0) -> Table:
    """Measure every cell: scenario by scenario, then `*` (all rows pooled) and `macro` (mean over scenarios).

    Raises:
        DataError: NaN among the logits of a target.
    """
    refuse_nan(collected)
    groups = Groups.of(collected)
    draws = Resample.poisson(groups.clusters, replicates, seed)
    rows: dict[str, list[Row]] = {name: [] for name in (*collected.scenarios, POOLED, MACRO)}
    curves = []
    for target in collected.targets:
        found = {name: _cell(collected, target, at, groups, draws) for name, at in groups.cells(collected, target)}
        curves += [_curve(name, target, one.reliability) for name, one in found.items()]
        pooled = found.pop(POOLED)
        for name, one in found.items():
            rows[name] += _rows(name, target, one.estimates, one.n, one.positives)
        n, positives = (sum(getattr(one, name) for one in found.values()) for name in ("n", "positives"))
        rows[POOLED] += _rows(POOLED, target, _strangers(pooled, pooled.n - n), pooled.n, pooled.positives)
        rows[MACRO] += _rows(MACRO, target, {metric: _macro(metric, found) for metric in METRICS}, n, positives)
    lines = tuple(row for name in rows for row in rows[name])
    return Table(lines, tuple(curves), _how(groups, replicates))


def refuse_nan(collected: Collected) -> None:
    """Raise a DataError that names the target, where a logit inside a cell is NaN."""
    for target in collected.targets:
        bad = int(np.count_nonzero(np.isnan(collected.logits[target]) & collected.inside[target]))
        if bad:
            raise DataError(
                f"target {target.name!r}: {bad:,} of {int(collected.inside[target].sum()):,} logits are NaN. "
                "The model diverged or was fed NaN: lower the learning rate, or look for NaN in the features."
            )


def _cell(collected: Collected, target: Target, at: Rows, groups: Groups, draws: Resample) -> Measured:
    logits, labels = collected.logits[target], collected.labels[target]
    users = None
    if groups.user is not None:
        user = groups.user[at]
        known = slice(None) if user.min(initial=0) >= 0 else user >= 0
        user = user[known]
        users = by_user(logits[at][known], labels[at][known], user)
        del user, known  # memory for the next step
    return measure(rank(logits[at], labels[at], groups.cluster[at]), users, groups.cluster_of, draws)


def _rows(name: str, target: Target, estimates: Mapping[str, Estimate], n: int, positives: int) -> list[Row]:
    return [
        Row(name, target.task, target.space, metric, one.value, one.low, one.high, n, positives, one.note)
        for metric, one in ((metric, estimates[metric]) for metric in METRICS)
    ]


def _strangers(pooled: Measured, others: int) -> Mapping[str, Estimate]:
    """The pooled estimates; they say so where they include rows whose scenario was never declared."""
    if not others:
        return pooled.estimates
    text = f"includes {others:,} rows of scenarios that the model does not know"
    return {metric: one.noted(text) for metric, one in pooled.estimates.items()}


def _curve(name: str, target: Target, found: Reliability) -> Mapping[str, Any]:
    bins = zip(found.predicted.tolist(), found.observed.tolist(), found.rows.tolist(), strict=True)
    return {
        "scenario": name,
        "task": target.task,
        "space": target.space,
        "bins": [{"predicted": predicted, "observed": observed, "n": n} for predicted, observed, n in bins],
    }


def _macro(metric: str, found: Mapping[str, Measured]) -> Estimate:
    """The mean over scenarios where the metric is defined, and how many those are."""
    defined = {name: one for name, one in found.items() if one.estimates[metric].value is not None}
    if not defined:
        return Estimate.undefined("undefined in every scenario")
    value = float(np.mean([one.estimates[metric].value for one in defined.values()]))
    lacking = [name for name in found if name not in defined]
    shown = f"{', '.join(lacking[:5])}{f' and {len(lacking) - 5} more' if len(lacking) > 5 else ''}"
    note = f"mean of {len(defined)} scenarios"
    if lacking:
        note = f"mean of {len(defined)} of {len(found)} scenarios; undefined in {shown}"
    bounds = _macro_bounds(metric, value, list(defined.values()))
    if bounds is None:
        return Estimate.of(value, note=f"{note}; no interval: a scenario has none")
    return Estimate.of(value, *bounds, note=note)


def _macro_bounds(metric: str, value: float, cells: Sequence[Measured]) -> tuple[float, float] | None:
    if metric == "auc":
        influences = [one.influence for one in cells if one.influence is not None and not one.influence.note]
        if len(influences) < len(cells):
            return None
        together = Influence(value, np.mean([one.parts for one in influences], axis=0))
        return interval.within_unit(together) if 0 < value < 1 else None
    drawn = [one.replicates[metric] for one in cells if metric in one.replicates]
    if len(drawn) < len(cells):
        return None
    mean = np.mean(drawn, axis=0)
    if np.isfinite(mean).sum() < 2:  # with many small scenarios, each draw leaves one of them without rows
        return None
    if metric == "ece":
        return ece_bounds(value, mean, np.mean([one.replicates["noise"] for one in cells], axis=0))
    return resample.percentiles(mean)


def _how(groups: Groups, replicates: int) -> Mapping[str, Any]:
    """In words and numbers, for whoever reads the file."""
    what = "rows" if groups.user is None else "users"
    return {
        "level": interval.LEVEL,
        "auc": f"structural components (DeLong), summed by cluster of {what} (Obuchowski 1997)",
        "others": f"bootstrap over clusters of {what}, {replicates} Poisson replicates",
        "clusters": groups.clusters,
        "users": None if groups.user is None else len(groups.cluster_of),
    }
