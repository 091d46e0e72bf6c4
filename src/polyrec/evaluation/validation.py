"""One number for early stopping: the mean over cells, and the cells it is the mean of."""

from typing import Literal, NamedTuple

import numpy as np

from polyrec.evaluation.collected import Collected
from polyrec.evaluation.tabulate import refuse_nan
from polyrec.metrics.binary import losses
from polyrec.metrics.grouped import by_user
from polyrec.schema import Cell, Target


class Validation(NamedTuple):
    """The metric of every cell where it is defined, and their mean; None where none is."""

    cells: dict[Cell, float]
    mean: float | None


def validation(collected: Collected, metric: Literal["auc", "log_loss"] = "auc") -> Validation:
    """AUC or log-loss of each scenario and target, without intervals: one sort a target.

    Rows of undeclared scenarios take no part, and a cell counts as much as any other, however many rows it has.

    Raises:
        DataError: NaN among the logits of a target.

    Example:
        >>> click = Target("click")
        >>> rows = Collected(
        ...     targets=(click,),
        ...     scenarios=("home",),
        ...     scenario=np.zeros(3, dtype=np.int32),
        ...     user=np.array([7, 7, 8]),
        ...     logits={click: np.array([-2.0, 0.5, -1.0], dtype=np.float32)},
        ...     labels={click: np.array([False, True, False])},
        ...     inside={click: np.array([True, True, True])},
        ... )
        >>> validation(rows)
        Validation(cells={Cell(scenario='home', task='click', space='all'): 1.0}, mean=1.0)
    """
    refuse_nan(collected)
    measure = _aucs if metric == "auc" else _losses
    cells: dict[Cell, float] = {}
    for target in collected.targets:
        for place, value in measure(collected, target).items():
            cells[Cell(collected.scenarios[place], target.task, target.space)] = value
    return Validation(cells, float(np.mean(list(cells.values()))) if cells else None)


def _aucs(collected: Collected, target: Target) -> dict[int, float]:
    at = np.flatnonzero(collected.inside[target] & (collected.scenario >= 0))
    found = by_user(collected.logits[target][at], collected.labels[target][at], collected.scenario[at])
    return dict(zip(found.users.tolist(), found.aucs.tolist(), strict=True))


def _losses(collected: Collected, target: Target) -> dict[int, float]:
    at = np.flatnonzero(collected.inside[target] & (collected.scenario >= 0))
    lost = losses(collected.logits[target][at], collected.labels[target][at])
    scenario, count = collected.scenario[at], len(collected.scenarios)
    rows = np.bincount(scenario, minlength=count)
    total = np.bincount(scenario, weights=lost, minlength=count)
    return {place: float(total[place] / rows[place]) for place in np.flatnonzero(rows).tolist()}
