"""How far what holds in one scenario holds in another: the model, told that target rows are another scenario's."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch.nn import functional

from polyrec.batch import Batch, Output
from polyrec.objectives import Objective
from polyrec.objectives.start import shift
from polyrec.schema import ALL

BLOCK = 8_192


@torch.no_grad()
def relations(model: Callable[[Batch], Output], objective: Objective, rows: Batch) -> Mapping[str, float]:
    """For each scenario, the share of what the model explains of the target's rows that it explains as that scenario.

    Formula:
        L_s = sum over tasks of min_c mean BCE(logit_t(x, scenario := s) + c, y_t)
        r_s = max(0, (L_0 - L_s) / (L_0 - min_s' L_s')), L_0 the loss of the best constants
        1: as good as the best; 0: no better than knowing nothing. The constant c takes out base rates, which
        scenarios differ in whether their preferences agree or not.

    Args:
        model: one trained on every scenario, that reads the scenario.
        objective: gives its predictions.
        rows: of the target scenario, with labels; its training rows.

    Source: this project's own; not in Hou et al. 2024, whose weights look at x alone and cannot see that the same x
    means the opposite elsewhere.

    Example:
        ```python
        relations(teacher, objective, rows_of_mini)      # {"home": 0.91, "search": 0.0, "mini": 1.0}
        ```
    """
    nothing = _constants(rows)
    losses = {name: _loss(model, objective, rows, place) for place, name in enumerate(rows.layout.scenarios)}
    explained = nothing - min(losses.values())
    if explained <= 0:
        return dict.fromkeys(losses, 0.0)
    return {name: max(0.0, (nothing - loss) / explained) for name, loss in losses.items()}


def _constants(rows: Batch) -> float:
    total = 0.0
    for target in rows.layout.targets:
        label, inside = rows.target(target)
        if target.space == ALL and inside.any():
            rate = label[inside].double().mean()
            total += float(functional.binary_cross_entropy(rate.expand(1), rate.expand(1)))
    return total


def _loss(model: Callable[[Batch], Output], objective: Objective, rows: Batch, scenario: int) -> float:
    moved = replace(rows, scenario=torch.full_like(rows.scenario, scenario))
    parts = [
        objective.predict(model(moved.select(torch.arange(at, min(at + BLOCK, len(rows))))))
        for at in range(0, len(rows), BLOCK)
    ]
    total = 0.0
    for target in rows.layout.targets:
        label, inside = rows.target(target)
        if target.space == ALL and inside.any():
            logit = torch.cat([part[target] for part in parts])[inside].double()
            answer = label[inside].double()
            total += float(functional.binary_cross_entropy_with_logits(logit + shift(logit, answer), answer))
    return total
