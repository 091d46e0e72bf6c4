"""How much each row weighs in each task's loss: the batch's own weight, its scenario's, its cell's."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch.nn import functional

from polyrec.batch import Layout
from polyrec.errors import ConfigError, together, unknown
from polyrec.shapes import Bool, Float, Int, Tensor

Normalise = Literal["valid", "batch"]


def check_names(layout: Layout, tasks: Sequence[str], scenarios: Sequence[str], where: str) -> None:
    """Refuse weights for tasks or scenarios that do not exist.

    Raises:
        ConfigError: every unknown name, with the known ones.
    """
    known = [task.name for task in layout.tasks]
    problems = [unknown("task", name, known, "in the schema") for name in tasks if name not in known]
    problems += [
        unknown("scenario", name, layout.scenarios, "in the schema")
        for name in scenarios
        if name not in layout.scenarios
    ]
    if problems:
        raise ConfigError(together(problems, where))


def cell_table(
    layout: Layout, scenario_weights: Mapping[str, float], cell_weights: Mapping[str, Mapping[str, float]]
) -> Float[Tensor, "T S1"]:
    """Weight by task and scenario; the last column, which index -1 reads, is an undeclared scenario's: 1.

    Example:
        >>> from polyrec.schema import Task
        >>> layout = Layout(("home", "feed"), (Task("click", "c"), Task("buy", "b")))
        >>> cell_table(layout, {"feed": 2.0}, {"feed": {"buy": 3.0}})
        tensor([[1., 2., 1.],
                [1., 6., 1.]])
    """
    table = torch.ones(len(layout.tasks), len(layout.scenarios) + 1)
    for scenario, weight in scenario_weights.items():
        table[:, layout.scenarios.index(scenario)] *= weight
    for scenario, tasks in cell_weights.items():
        for task, weight in tasks.items():
            table[layout.task_index(task), layout.scenarios.index(scenario)] *= weight
    return table


def row_weights(table: Float[Tensor, "S1"], scenario: Int[Tensor, "B"], weight: Float[Tensor, "B"]) -> Tensor:
    """The batch's weight times that of each row's scenario."""
    return weight * table[scenario.long()]


def binary_term(
    logit: Float[Tensor, "B"],
    label: Float[Tensor, "B"],
    inside: Bool[Tensor, "B"],
    weight: Float[Tensor, "B"],
    normalise: Normalise = "valid",
) -> Float[Tensor, ""]:
    """Weighted binary cross-entropy over the rows inside a space.

    Formula:
        sum_b m_b w_b l_b / sum_b m_b w_b   (`"valid"`; 0 where no row is inside)
        sum_b m_b w_b l_b / sum_b w_b       (`"batch"`: a rare space weighs as little as it has rows)

    Example:
        >>> logit, label = torch.zeros(4), torch.tensor([1.0, 0.0, 1.0, 0.0])
        >>> inside = torch.tensor([True, False, False, False])
        >>> valid = binary_term(logit, label, inside, torch.ones(4))
        >>> batch = binary_term(logit, label, inside, torch.ones(4), "batch")
        >>> round(float(valid), 4), round(float(batch), 4)
        (0.6931, 0.1733)
    """
    used = weight * inside
    total = functional.binary_cross_entropy_with_logits(logit, label, used, reduction="sum")
    over = (used if normalise == "valid" else weight).sum()
    return total / torch.where(over > 0, over, torch.ones_like(over))
