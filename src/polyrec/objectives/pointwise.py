"""Binary cross-entropy for each task in its own space: all impressions, or those where its parent happened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge

from polyrec.batch import Batch, Layout, Output
from polyrec.declare import STRICT
from polyrec.objectives.cells import Normalise, binary_term, cell_table, check_names, row_weights
from polyrec.objectives.logspace import chain
from polyrec.objectives.objective import Objective, Predictions, Terms, register
from polyrec.schema import ALL, Target, funnel
from polyrec.shapes import Float, Tensor

Weight = Annotated[float, Ge(0.0)]


@dataclass(frozen=True, slots=True)
class PointwiseConfig:
    """What weighs how much. Names left out weigh 1."""

    __pydantic_config__ = STRICT
    task_weights: Mapping[str, Weight] = field(default_factory=dict)  # of a task's terms
    scenario_weights: Mapping[str, Weight] = field(default_factory=dict)  # of a scenario's rows, in every task
    cell_weights: Mapping[str, Mapping[str, Weight]] = field(default_factory=dict)  # {scenario: {task: weight}}
    unclicked: bool = True  # a task that may happen without its parent has a head of its own over all impressions
    normalise: Normalise = "batch"  # a term is the mean over its own rows, or its sum over the batch's rows


@register("pointwise", PointwiseConfig)
class Pointwise(Objective):
    """Each head learns one target from the rows that lie in its space and were observed.

    Heads:
        `t` for a task without a parent: p(t). `t` for a task whose whole funnel is strict: p(t | parent),
        learned where the parent happened. A task that may happen without an ancestor has two heads: `t`,
        p(t) over all impressions, and `t|parent`, p(t | parent). Without `unclicked` it has the second alone,
        called `t`: conversions are learned in click space and nowhere else.

    Prediction:
        Over all impressions a strict funnel multiplies: p(buy) = p(click) p(cart | click) p(buy | cart), in
        log space; the others answer by their own head, and without `unclicked` are multiplied too.

    Needs:
        The tasks' labels. A null label takes no part.

    Relations:
        Without `after` it is plain multi-task learning. p(t | parent) is learned on clicked rows only and
        judged, over all impressions, on rows it never saw: the entire-space objectives mend that.

    Example:
        >>> from polyrec.schema import Task
        >>> tasks = (Task("click", "c"), Task("buy", "b", after="click"), Task("visit", "v", "click", strict=False))
        >>> Pointwise(Layout(("home",), tasks), PointwiseConfig()).heads
        ('click', 'buy', 'visit', 'visit|click')
    """

    cells: Float[Tensor, "T S1"]

    def __init__(self, layout: Layout, config: PointwiseConfig) -> None:
        super().__init__(layout)
        _check(layout, config)
        self.config = config
        self.targets = _targets(layout, config.unclicked)
        self.weighted = bool(config.scenario_weights or config.cell_weights)
        table = cell_table(layout, config.scenario_weights, config.cell_weights)
        self.register_buffer("cells", table, persistent=False)

    @property
    def heads(self) -> tuple[str, ...]:
        """One a task, two for a task that may happen without its parent."""
        return tuple(self.targets)

    @property
    def terms(self) -> tuple[str, ...]:
        """One a head."""
        return self.heads

    def forward(self, output: Output, batch: Batch) -> Terms:
        """The cross-entropy of every head over the rows of its space."""
        output, terms = self.started(output), {}
        for head, target in self.targets.items():
            label, inside = batch.target(target)
            if not self.config.unclicked and target.space != ALL:  # its factors are multiplied: the whole funnel
                inside = inside & (batch.through(target.space)[0] > 0.5)
            weight = batch.weight
            if self.weighted:
                weight = row_weights(self.cells[self.layout.task_index(target.task)], batch.scenario, weight)
            term = binary_term(output.logits[head], label, inside, weight, self.config.normalise)
            factor = self.config.task_weights.get(target.task, 1.0)
            terms[head] = term if factor == 1.0 else term * factor
        return terms

    def predict(self, output: Output) -> Predictions:
        """Every target's logit; strict funnels are multiplied out in log space."""
        head_of = {target: head for head, target in self.targets.items()}
        output, found = self.started(output), {}
        for target in self.layout.targets:
            if target in head_of:
                found[target] = output.logits[head_of[target]]
            else:
                steps = [task.name for task in funnel(self.layout.tasks, target.task)]
                found[target] = chain([output.logits[step] for step in steps])
        return found


def _targets(layout: Layout, unclicked: bool) -> dict[str, Target]:
    """What each head learns."""
    found = {}
    for task in layout.tasks:
        if task.after is None:
            found[task.name] = Target(task.name)
        elif not unclicked or all(step.strict for step in funnel(layout.tasks, task.name)):
            found[task.name] = Target(task.name, task.after)
        else:
            found[task.name] = Target(task.name, ALL)
            found[f"{task.name}|{task.after}"] = Target(task.name, task.after)
    return found


def _check(layout: Layout, config: PointwiseConfig) -> None:
    tasks = [*config.task_weights, *(task for one in config.cell_weights.values() for task in one)]
    check_names(layout, tasks, [*config.scenario_weights, *config.cell_weights], "[objective] weights")
