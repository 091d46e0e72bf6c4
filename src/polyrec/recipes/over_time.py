"""A transfer over time: each ending on the target's test rows, and what was accepted from whom, period by period."""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import nn

from polyrec.batch import Batch
from polyrec.config import TransferConfig
from polyrec.data.files import Source
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.validation import validation
from polyrec.objectives.objective import Predictions
from polyrec.recipes.endings import losses_of
from polyrec.recipes.periods import NEVER, periods_of
from polyrec.recipes.rows import Rows
from polyrec.schema import ALL
from polyrec.training.run import Result
from polyrec.transfer.candidates import Found


def judged(
    rows: Rows,
    results: Mapping[str, Result],
    options: TransferConfig,
    known: Mapping[str, Collected | None] | None = None,
) -> dict[str, Any] | None:
    """AUC and log-loss of every trained stage by period of the test rows; None where there are no test rows.

    Several processes score together; those after the first get None.

    Args:
        rows: of the run, tested on the target's rows alone.
        results: what each stage left. None of them is chosen by what is found here.
        options: name the length of a period.
        known: what some of them score for the test rows already; None at processes after the first.

    Raises:
        ConfigError: the time column does not tell periods of that length.
    """
    known = known or {}
    source = rows.prepared.splits.test
    if source is None:
        return None
    found = periods_of(source, rows.prepared.schema.keys.time, options.period)
    told: dict[str, Any] = {"period": options.period, "periods": list(found.names)}
    endings: dict[str, Any] = {}
    for name, result in results.items():
        again = name not in known
        collected = rows.collected(_score(result), source, result.parts.model) if again else known[name]
        if collected is None:
            continue
        by_period = replace(collected, scenarios=found.names, scenario=found.place.astype(np.int32))
        told |= _counts(by_period)
        endings[name] = _metrics(by_period)
    return {**told, "endings": endings} if endings else None


def accepted(
    source: Source,
    column: str | None,
    found: Found,
    results: Mapping[str, Result],
    options: TransferConfig,
    *,
    distils: bool = True,
) -> dict[str, Any] | None:
    """Candidates by source scenario and period: how many, their mean weight, and the mean a(x) of the distillation.

    Formula: a(x) = sigmoid((loss_student(x) - loss_teacher(x)) / temperature), by the student as the transfer left it.

    Args:
        source: the rows that candidates were looked for among.
        column: of their time.
        found: the candidates.
        results: what the stages left.
        options: name the length of a period and the temperature.
        distils: whether the transfer has a distillation; without, there is no a(x).

    Raises:
        ConfigError: the time column does not tell periods of that length.
    """
    if found.places is None or not len(found.candidates):
        return None
    when = periods_of(source, column, options.period, found.places)
    share = None
    if distils and options.adaptive and {"teacher", "transfer"} <= results.keys():
        better = losses_of(results["transfer"], found.candidates) - losses_of(results["teacher"], found.candidates)
        share = torch.sigmoid(torch.from_numpy(better) / options.temperature).numpy()
    scenario, names = found.source.numpy(), found.target.layout.scenarios
    sources = {}
    for place in np.unique(scenario).tolist():
        mine = (scenario == place) & (when.place != NEVER)
        at, count = when.place[mine], len(when.names)
        rows = np.bincount(at, minlength=count)
        one: dict[str, Any] = {"rows": rows.tolist(), "weight": _means(at, rows, found.weights.numpy()[mine])}
        if share is not None:
            one["a"] = _means(at, rows, share[mine])
        sources[names[place]] = one
    return {"period": options.period, "periods": list(when.names), "sources": sources}


def _score(result: Result) -> Any:
    model, objective = result.parts.model, result.parts.objective.served
    first = next(model.parameters(), None) if isinstance(model, nn.Module) else None

    def score(batch: Batch) -> Predictions:
        return objective.predict(model(batch if first is None else batch.to(first.device)))

    return score


def _metrics(by_period: Collected) -> dict[str, dict[str, list[float | None]]]:
    """By task over all impressions, then metric: a value a period, None where it is undefined."""
    tasks = [one.task for one in by_period.targets if one.space == ALL]
    found: dict[str, dict[str, list[float | None]]] = {task: {} for task in tasks}
    for metric in ("auc", "log_loss"):
        cells = {
            (one.scenario, one.task): round(value, 6)
            for one, value in validation(by_period, metric).cells.items()
            if one.space == ALL and isfinite(value)
        }
        for task in tasks:
            found[task][metric] = [cells.get((name, task)) for name in by_period.scenarios]
    return found


def _counts(by_period: Collected) -> dict[str, dict[str, list[int]]]:
    """By task over all impressions: rows of each period whose label was observed, and positives among them."""
    found: dict[str, dict[str, list[int]]] = {"rows": {}, "positives": {}}
    dated = by_period.scenario != NEVER
    for one in by_period.targets:
        if one.space == ALL:
            seen = by_period.inside[one] & dated
            for name, mine in (("rows", seen), ("positives", seen & by_period.labels[one])):
                counted = np.bincount(by_period.scenario[mine], minlength=len(by_period.scenarios))
                found[name][one.task] = counted.tolist()
    return found


def _means(at: np.ndarray, rows: np.ndarray, values: np.ndarray) -> list[float | None]:
    sums = np.bincount(at, weights=values, minlength=len(rows))
    return [
        round(total / count, 4) if count else None for total, count in zip(sums.tolist(), rows.tolist(), strict=True)
    ]
