"""Features, scenarios, tasks and keys: the one contract of data, model, report and bundle."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from polyrec.declare import STRICT, parse, read_toml, to_toml
from polyrec.declared import ALL, Feature, Keys, Kind, Side, Task, Transform, feature_problems, repeated, task_problems
from polyrec.errors import SchemaError, together, unknown

__all__ = [
    "ALL",
    "Cell",
    "Feature",
    "Keys",
    "Kind",
    "Schema",
    "Side",
    "Target",
    "Task",
    "Transform",
    "funnel",
    "targets",
]


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What is predicted: a task over all impressions, or given its parent.

    Example:
        >>> Target("buy", "click").column, Target("click").column
        ('p_buy_given_click', 'p_click')
    """

    task: str
    space: str = ALL

    @property
    def name(self) -> str:
        """`buy` over all impressions, `buy_given_click` in the parent's space: the wire's name."""
        return self.task if self.space == ALL else f"{self.task}_given_{self.space}"

    @property
    def column(self) -> str:
        """The column of `polyrec predict`."""
        return f"p_{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One scenario x task x label space: the unit of masks, metrics, early stopping and reports."""

    scenario: str
    task: str
    space: str = ALL

    @property
    def target(self) -> Target:
        """The cell without its scenario."""
        return Target(self.task, self.space)


@dataclass(frozen=True, slots=True)
class Schema:
    """What a log holds and what is asked of it.

    `scenarios` may be left empty in the file: then the training rows decide (`with_scenarios`).
    `unknown_scenario`: what a row of an undeclared scenario gets when it is scored: `"refuse"` (an error
    that names it) or `"shared"` (the model's shared path). In training it is always refused.

    Raises:
        SchemaError: any contradiction, all of them in one message.

    Example:
        >>> schema = Schema(
        ...     keys=Keys(scenario="tab"),
        ...     features=(Feature("item", "categorical", "item"),),
        ...     tasks=(Task("click", "is_click"), Task("buy", "is_buy", after="click")),
        ...     scenarios=("home", "search"),
        ... )
        >>> [target.name for target in schema.targets]
        ['click', 'buy', 'buy_given_click']
        >>> len(schema.cells)
        6
    """

    __pydantic_config__ = STRICT
    keys: Keys
    features: tuple[Feature, ...]
    tasks: tuple[Task, ...]
    scenarios: tuple[str, ...] = field(default=())
    unknown_scenario: Literal["refuse", "shared"] = "refuse"

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            plural = "problem" if len(problems) == 1 else "problems"
            raise SchemaError(together(problems, f"the schema has {len(problems)} {plural}"))

    @classmethod
    def load(cls, path: str | Path) -> "Schema":
        """Read a schema.toml (or the schema.json of a bundle), refusing unknown keys."""
        path = Path(path)
        if path.suffix == ".json":
            try:
                return parse(cls, json.loads(path.read_text(encoding="utf-8")), str(path), SchemaError)
            except (OSError, ValueError) as reason:
                raise SchemaError(f"{path} cannot be read as JSON: {reason}.") from reason
        return parse(cls, read_toml(path, SchemaError), str(path), SchemaError)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the schema") -> "Schema":
        """A schema from plain values (JSON, TOML)."""
        return parse(cls, values, where, SchemaError)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, options left at their default omitted; `from_dict` reads them back."""
        plain: dict[str, Any] = _without_none(asdict(self))
        return plain

    def to_toml(self) -> str:
        """The schema as TOML text, as `polyrec inspect --out` writes it."""
        plain = self.to_dict()
        for one in [*plain["features"], *plain["tasks"]]:
            one.pop("strict", None) if one.get("strict") else None
        if self.unknown_scenario == "refuse":
            del plain["unknown_scenario"]
        tops = ("scenarios", "unknown_scenario", "keys", "features", "tasks")
        return to_toml({key: plain[key] for key in tops if plain.get(key)})

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON: equal for equal declarations, whatever the file looked like."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def with_scenarios(self, names: Iterable[str]) -> "Schema":
        """The same schema with these scenarios."""
        return replace(self, scenarios=tuple(names))

    def task(self, name: str) -> Task:
        """The task of that name."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise SchemaError(unknown("task", name, [task.name for task in self.tasks], "in the schema"))

    def feature(self, name: str) -> Feature:
        """The feature of that name."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise SchemaError(unknown("feature", name, [one.name for one in self.features], "in the schema"))

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every task over all impressions and, where it has a parent, given that parent."""
        return targets(self.tasks)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Scenario x task x space, scenario by scenario."""
        return tuple(Cell(name, target.task, target.space) for name in self.scenarios for target in self.targets)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that training reads: features, labels and keys, each once."""
        keys = (self.keys.scenario, self.keys.user, self.keys.item, self.keys.time, self.keys.group)
        names = [one.name for one in self.features] + [one.label for one in self.tasks]
        return tuple(dict.fromkeys([*names, *(key for key in keys if key)]))


def targets(tasks: Sequence[Task]) -> tuple[Target, ...]:
    """Every task over all impressions and, where it has a parent, given that parent."""
    found = []
    for task in tasks:
        found.append(Target(task.name))
        if task.after:
            found.append(Target(task.name, task.after))
    return tuple(found)


def funnel(tasks: Sequence[Task], name: str) -> tuple[Task, ...]:
    """The task's ancestors, root first, and the task itself.

    Example:
        >>> steps = (Task("click", "c"), Task("cart", "a", after="click"), Task("buy", "b", after="cart"))
        >>> [task.name for task in funnel(steps, "buy")]
        ['click', 'cart', 'buy']
    """
    by_name = {task.name: task for task in tasks}
    chain = [by_name[name]]
    while chain[0].after is not None:
        chain.insert(0, by_name[chain[0].after])
    return tuple(chain)


def _problems(schema: Schema) -> list[str]:
    problems = []
    if not schema.tasks:
        problems.append("no task is declared. Add a [[tasks]] table with a name and a label")
    if not schema.features:
        problems.append("no feature is declared. Add [[features]] tables, or let `polyrec inspect` write them")
    problems += repeated("feature", [one.name for one in schema.features])
    problems += repeated("task", [one.name for one in schema.tasks])
    problems += repeated("label", [one.label for one in schema.tasks])
    problems += repeated("scenario", list(schema.scenarios))
    problems += [text for one in schema.features for text in feature_problems(one, schema.features)]
    problems += [text for one in schema.tasks for text in task_problems(one, schema.tasks)]
    labels = {task.label: task.name for task in schema.tasks}
    for feature in schema.features:
        if feature.name in labels:
            problems.append(
                f"feature {feature.name!r} is the label of task {labels[feature.name]!r}: "
                "a model would read its own answer. Remove the feature"
            )
    return problems


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, (list, tuple)) else value
