"""How far what holds in one scenario holds in another: the model, told that target rows are another scenario's."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from polyrec.batch import Batch, Output
from polyrec.objectives import Objective
from polyrec.objectives.start import shift
from polyrec.schema import ALL
from polyrec.shapes import Float, Int, Tensor
from polyrec.transfer.asked import asked
from polyrec.transfer.people import people

STEPS = 50
RIDGE = 1e-3  # on the slope


@torch.no_grad()
def relations(model: Callable[[Batch], Output], objective: Objective, rows: Batch) -> Mapping[str, float]:
    """For each scenario, the share of what the model explains of the target's rows that it explains as that scenario.

    Formula:
        l_s(b) = sum over tasks of the cross-entropy of a_st logit_t(x_b, scenario := s) + c_st, best a >= 0 and c
        g_s    = mean_b l_0(b) - l_s(b), l_0 with the best constants alone; e_s its standard error, by users
        r_s    = g_s / max g where g_s > e_s, else 0
        1: as good as the best; 0: no better than knowing nothing, as far as these rows can tell. The constants take
        out base rates, which scenarios differ in whether their preferences agree or not; the slopes take out that a
        model is surer of rows that it has not seen than it may be. What is the opposite gets the slope 0.

    Args:
        model: one trained on every scenario, that reads the scenario.
        objective: gives its predictions.
        rows: of the target scenario, with labels, that the model did not learn from: of rows that it knows it explains
            much as any scenario.

    Source: this project's own; not in Hou et al. 2024, whose weights look at x alone and cannot see that the same x
    means the opposite elsewhere.

    Example:
        ```python
        relations(teacher, objective, rows_of_mini)      # {"home": 0.91, "search": 0.0, "mini": 1.0}
        ```
    """
    nothing, found = _constants(rows), {}
    for place, name in enumerate(rows.layout.scenarios):
        found[name] = gap(nothing - _losses(model, objective, rows, place), rows.user.numpy())
    most = max((gain for gain, _ in found.values()), default=0.0)
    return {name: gain / most if gain > error and most > 0 else 0.0 for name, (gain, error) in found.items()}


def gap(difference: Float[np.ndarray, "B"], users: Int[np.ndarray, "B"]) -> tuple[float, float]:
    """Mean of the rows' differences, and its standard error with users as clusters; rows of nobody are each alone.

    Example:
        >>> mean, error = gap(np.array([1.0, 3.0]), np.array([7, 8]))
        >>> round(mean, 3), round(error, 3)
        (2.0, 1.0)
    """
    count = len(difference)
    if not count:
        return 0.0, 0.0
    mean = float(difference.mean())
    sums = np.bincount(people(users), weights=difference - mean)
    clusters = len(sums)
    return mean, float(np.sqrt((sums**2).sum() * clusters / max(clusters - 1, 1)) / count)


def _constants(rows: Batch) -> Float[np.ndarray, "B"]:
    total = torch.zeros(len(rows), dtype=torch.float64)
    for target in rows.layout.targets:
        label, inside = rows.target(target)
        if target.space == ALL and inside.any():
            answer = label[inside].double()
            rate = answer.mean().expand(len(answer))
            total[inside] += functional.binary_cross_entropy(rate, answer, reduction="none")
    return np.asarray(total.numpy())


def _losses(
    model: Callable[[Batch], Output], objective: Objective, rows: Batch, scenario: int
) -> Float[np.ndarray, "B"]:
    moved = replace(rows, scenario=torch.full_like(rows.scenario, scenario))
    parts = [objective.predict(output) for output, _ in asked(model, moved)]
    total = torch.zeros(len(rows), dtype=torch.float64)
    for target in rows.layout.targets:
        label, inside = rows.target(target)
        if target.space == ALL and inside.any():
            logit = torch.cat([part[target] for part in parts]).cpu()[inside].double()
            answer = label[inside].double()
            logit = _calibrated(logit, answer)
            total[inside] += functional.binary_cross_entropy_with_logits(logit, answer, reduction="none")
    return np.asarray(total.numpy())


def _calibrated(logit: Float[Tensor, "B"], label: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """`a logit + c` of least cross-entropy, a >= 0; by Newton's method, a slope that falls below 0 ends as 0."""
    flat = torch.zeros_like(logit)
    spread = logit.std(correction=0)
    if spread < 1e-9 or not 0 < label.mean() < 1:
        return flat + shift(flat, label)
    x = torch.stack([(logit - logit.mean()) / spread, torch.ones_like(logit)], 1)
    found = torch.stack([flat[0], shift(flat, label)])
    for _ in range(STEPS):
        p = torch.sigmoid(x @ found)
        curve = (x * (p * (1 - p))[:, None]).T @ x + RIDGE * torch.eye(2, dtype=x.dtype)
        step = torch.linalg.solve(curve, x.T @ (p - label) + RIDGE * found * x.new_tensor([1.0, 0.0]))
        found = found - step.clamp(-2.0, 2.0)
        if step.abs().max() < 1e-9:
            break
    return x @ found if found[0] > 0 else flat + shift(flat, label)
