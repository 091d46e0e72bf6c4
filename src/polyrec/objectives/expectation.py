"""Every task over all impressions by its own head, and a price on a task expected more often than its parent."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge

from polyrec.batch import Batch, Layout, Output
from polyrec.declare import STRICT
from polyrec.objectives.cells import binary_term
from polyrec.objectives.logspace import LogProbability
from polyrec.objectives.objective import Objective, Predictions, Terms, register
from polyrec.schema import Target, Task
from polyrec.shapes import Float, Tensor

_SURE = 1e-6  # how near to 1 p(t | parent) comes where a task is expected as often as its parent, or more


@dataclass(frozen=True, slots=True)
class ExpectationConfig:
    """What the calibrator weighs."""

    __pydantic_config__ = STRICT
    calibrator: Annotated[float, Ge(0.0)] = 0.6  # 0: without it


@register("expectation", ExpectationConfig)
class Expectation(Objective):
    """Cross-entropy of every task over all impressions, and the behavioural expectation calibrator.

    Formula:
        sum_t BCE(p(t), label_t) + calibrator * sum over strict tasks t of mean max(p(t) - p(parent), 0)
        p(t | parent) = min(p(t) / p(parent), 1)

    Heads:
        `t`: p(t) over all impressions. A task that may happen without its parent has a second one, `t|parent`,
        learned where the parent happened, since no ratio tells it.

    Needs:
        Labels over all impressions. A null label takes no part in its cross-entropy.

    Relations:
        Without `after` it equals Pointwise.

    Source: Xi et al. 2021, equations 11 to 13 (their strength of the calibrator: 0.6).

    Example:
        >>> tasks = (Task("click", "c"), Task("buy", "b", after="click"))
        >>> Expectation(Layout(("home",), tasks), ExpectationConfig()).terms
        ('click', 'buy', 'buy>click')
    """

    def __init__(self, layout: Layout, config: ExpectationConfig) -> None:
        super().__init__(layout)
        self.config = config

    @property
    def heads(self) -> tuple[str, ...]:
        """One a task, two for a task that may happen without its parent."""
        return tuple(head for task in self.layout.tasks for head in (task.name, *_beside(task)))

    @property
    def terms(self) -> tuple[str, ...]:
        """One a head, and one for each strict task's excess over its parent."""
        strict = [task for task in self.layout.tasks if task.after is not None and task.strict]
        return (*self.heads, *(f"{task.name}>{task.after}" for task in strict if self.config.calibrator > 0))

    def forward(self, output: Output, batch: Batch) -> Terms:
        """The cross-entropy of every head, and what children exceed their parents by."""
        output, terms = self.started(output), {}
        for task in self.layout.tasks:
            for head, space in ((task.name, None), *((one, task.after) for one in _beside(task))):
                label, inside = batch.target(Target(task.name) if space is None else Target(task.name, space))
                terms[head] = binary_term(output.logits[head], label, inside, batch.weight, "batch")
        total = batch.weight.sum().clamp_min(torch.finfo(torch.float32).tiny)
        for task in self.layout.tasks:
            if task.after is not None and task.strict and self.config.calibrator > 0:
                excess = torch.sigmoid(output.logits[task.name]) - torch.sigmoid(output.logits[task.after])
                mean = (batch.weight * excess.clamp_min(0)).sum() / total
                terms[f"{task.name}>{task.after}"] = self.config.calibrator * mean
        return terms

    def predict(self, output: Output) -> Predictions:
        """A task over all impressions by its head; given its parent, by the ratio of two heads."""
        output, found = self.started(output), {}
        for target in self.layout.targets:
            task = self.layout.tasks[self.layout.task_index(target.task)]
            if task.after is None or target.space != task.after:
                found[target] = output.logits[task.name]
            elif task.strict:
                found[target] = _ratio(output.logits[task.name], output.logits[task.after])
            else:
                found[target] = output.logits[_beside(task)[0]]
        return found


def _beside(task: Task) -> tuple[str, ...]:
    return () if task.after is None or task.strict else (f"{task.name}|{task.after}",)


def _ratio(child: Float[Tensor, "B"], parent: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """The logit of min(p(child) / p(parent), 1)."""
    share = (LogProbability.of(child).yes - LogProbability.of(parent).yes).clamp_max(-_SURE)
    return share - torch.log(-torch.expm1(share))
