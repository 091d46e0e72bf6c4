"""Every task learned over all impressions, its conversions traced through each route that the schema declares."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from polyrec.batch import Batch, Layout, Output
from polyrec.declare import STRICT
from polyrec.objectives.cells import binary_term, check_names
from polyrec.objectives.logspace import LogProbability, given
from polyrec.objectives.objective import Objective, Predictions, Terms, register
from polyrec.objectives.pointwise import Weight
from polyrec.schema import Target, Task, funnel


@dataclass(frozen=True, slots=True)
class EntireSpaceConfig:
    """Which routes are modelled. ESMM: neither. ESM²: `action`. AEM²TL: both."""

    __pydantic_config__ = STRICT
    action: bool = True  # split p(t | c) by the task that `via` names
    unclicked: bool = True  # model p(t | not c) where a task may happen without its parent
    identify: bool = False  # also supervise both routes of such a task by the rows that took them
    task_weights: Mapping[str, Weight] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """Heads of one task: how it comes about."""

    task: Task
    after: str  # the head of p(t | c), or of p(t | c, not a)
    acted: str | None = None  # the head of p(t | a)
    action: str | None = None  # the task a
    unclicked: str | None = None  # the head of p(t | not c)

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads of its own."""
        return tuple(head for head in (self.after, self.acted, self.unclicked) if head is not None)


@register("entire_space", EntireSpaceConfig)
class EntireSpace(Objective):
    """The whole funnel as one probability model, each task judged on all impressions.

    Formula:
        with c the parent of task t, a the task that `via` names, and y a sigmoid of a head,
            p(t | c) = y_t                                   without `via`
            p(t | c) = y(t | c, not a) (1 - p(a | c)) + p(a | c) y(t | a)
            p(t)     = p(c) p(t | c)                         strict
            p(t)     = p(c) p(t | c) + (1 - p(c)) y(t | not c)
            loss     = sum_t w_t BCE(p(t), label_t)          over all impressions
        and with `identify`, for a task that may happen without its parent,
            loss    += BCE(p(c) p(t | c), label_c label_t) + BCE((1 - p(c)) y(t | not c), (1 - label_c) label_t)
        Everything in log space.

    Needs:
        Labels over all impressions. A null label takes no part.

    Relations:
        Neither route: ESMM (Ma et al. 2018). `action`: ESM² (Wen et al. 2020). Both: AEM²TL's entire-space
        supervised module (Yi et al. 2025, equations 15 to 29). Without `after` it equals Pointwise.

    Example:
        >>> tasks = (
        ...     Task("click", "c"),
        ...     Task("cart", "a", after="click"),
        ...     Task("buy", "b", after="click", via="cart", strict=False),
        ... )
        >>> EntireSpace(Layout(("home",), tasks), EntireSpaceConfig()).heads
        ('click', 'cart', 'buy', 'buy|cart', 'buy|not click')
    """

    def __init__(self, layout: Layout, config: EntireSpaceConfig) -> None:
        super().__init__(layout)
        check_names(layout, list(config.task_weights), [], "[objective] task_weights")
        self.config = config
        # Parents before children, whatever order the schema has them in.
        ordered = sorted(layout.tasks, key=lambda task: len(funnel(layout.tasks, task.name)))
        self.routes = tuple(_route(task, layout, config) for task in ordered)
        past = {task.name for task in layout.tasks if not task.strict and not config.unclicked}
        self.through = {task.name for task in ordered if past & {step.name for step in funnel(layout.tasks, task.name)}}

    @property
    def heads(self) -> tuple[str, ...]:
        """One for each route of each task."""
        found = {route.task.name: route.heads for route in self.routes}
        return tuple(head for task in self.layout.tasks for head in found[task.name])

    @property
    def terms(self) -> tuple[str, ...]:
        """One a task, and two more for each that `identify` supervises by route."""
        names = []
        for route in self.routes:
            names.append(route.task.name)
            if self.config.identify and route.unclicked:
                names += [f"{route.task.name}*{route.task.after}", route.unclicked]
        return tuple(names)

    def forward(self, output: Output, batch: Batch) -> Terms:
        """Cross-entropy of every task over all impressions."""
        output = self.started(output)
        whole, within = self._probabilities(output)
        terms = {}
        for route in self.routes:
            task, name = route.task, route.task.name
            label, observed = batch.target(Target(name))
            weight = self.config.task_weights.get(name, 1.0)
            if name in self.through:  # without a route past a step, only what came through it can be explained
                label, observed = batch.through(name)
            terms[name] = weight * binary_term(whole[name].logit, label, observed, batch.weight)
            if self.config.identify and route.unclicked is not None and task.after is not None:
                parent, seen = batch.target(Target(task.after))
                seen = seen & observed
                through = whole[task.after].then(within[name]).logit
                past = whole[task.after].complement.then(LogProbability.of(output.logits[route.unclicked])).logit
                terms[f"{name}*{task.after}"] = weight * binary_term(through, label * parent, seen, batch.weight)
                terms[route.unclicked] = weight * binary_term(past, label * (1 - parent), seen, batch.weight)
        return terms

    def predict(self, output: Output) -> Predictions:
        """The logit of every target, composed from its routes."""
        whole, within = self._probabilities(self.started(output))
        found = {}
        for target in self.layout.targets:
            task = self.layout.tasks[self.layout.task_index(target.task)]
            over_all = target.space != task.after or task.after is None
            found[target] = (whole if over_all else within)[target.task].logit
        return found

    def _probabilities(self, output: Output) -> tuple[dict[str, LogProbability], dict[str, LogProbability]]:
        """p(t) over all impressions and p(t | parent) of every task."""
        whole: dict[str, LogProbability] = {}
        within: dict[str, LogProbability] = {}
        for route in self.routes:
            name = route.task.name
            one = LogProbability.of(output.logits[route.after])
            if route.acted is not None and route.action is not None:
                action = LogProbability.of(output.logits[route.action])
                one = given(action, LogProbability.of(output.logits[route.acted]), one)
            within[name] = one
            if route.task.after is None:
                whole[name] = one
            elif route.unclicked is None:
                whole[name] = whole[route.task.after].then(one)
            else:
                whole[name] = given(whole[route.task.after], one, LogProbability.of(output.logits[route.unclicked]))
        return whole, within


def _route(task: Task, layout: Layout, config: EntireSpaceConfig) -> Route:
    action = layout.tasks[layout.task_index(task.via)] if task.via and config.action else None
    # The action's own head is p(a | c) only where it splits no further.
    if action is not None and action.via is not None:
        action = None
    unclicked = f"{task.name}|not {task.after}" if config.unclicked and not task.strict else None
    acted = f"{task.name}|{action.name}" if action else None
    return Route(task, task.name, acted, action.name if action else None, unclicked)
