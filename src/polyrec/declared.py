"""Features, tasks and keys as a schema declares them, and in words what is wrong with a declaration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from polyrec.declare import STRICT
from polyrec.errors import unknown

ALL = "all"
Kind = Literal["categorical", "numeric", "sequence", "vector"]
Side = Literal["user", "item", "context"]
Transform = Literal["none", "log", "standard", "quantile"]
_ONLY_FOR: dict[str, tuple[Kind, ...]] = {
    "min_count": ("categorical", "sequence"),
    "hash": ("categorical", "sequence"),
    "dim": ("categorical", "sequence"),
    "shares": ("categorical", "sequence"),
    "max_length": ("sequence",),
    "transform": ("numeric",),
    "size": ("vector",),
}


@dataclass(frozen=True, slots=True)
class Feature:
    """A column's meaning. Options that do not belong to its kind are refused."""

    __pydantic_config__ = STRICT
    name: str
    kind: Kind
    side: Side = "context"
    min_count: int | None = None
    hash: int | None = None
    dim: int | None = None
    shares: str | None = None
    max_length: int | None = None
    transform: Transform | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A label to predict; `after` names the task that comes before it in the funnel.

    `strict = false`: it may happen without its parent. `via`: another task after the same parent that
    splits the route (parent, via, task).
    """

    __pydantic_config__ = STRICT
    name: str
    label: str
    after: str | None = None
    via: str | None = None
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Keys:
    """Columns that identify rows rather than describe them."""

    __pydantic_config__ = STRICT
    scenario: str
    user: str | None = None
    item: str | None = None
    time: str | None = None
    group: str | None = None


def repeated(what: str, names: list[str]) -> list[str]:
    """Names that are declared more than once, in words."""
    twice = sorted({name for name in names if names.count(name) > 1})
    return [f"{what} {name!r} is declared more than once. Keep one" for name in twice]


def feature_problems(feature: Feature, features: Sequence[Feature]) -> list[str]:
    """What is wrong with a feature among these, in words."""
    where = f"feature {feature.name!r}"
    problems = []
    for option, kinds in _ONLY_FOR.items():
        if getattr(feature, option) is not None and feature.kind not in kinds:
            problems.append(f"{where}: {option} is for {' and '.join(kinds)} features, this one is {feature.kind}")
    for option in ("min_count", "hash", "dim", "max_length", "size"):
        value = getattr(feature, option)
        if value is not None and value < 1:
            problems.append(f"{where}: {option} = {value}: it must be at least 1")
    if feature.kind == "vector" and feature.size is None:
        problems.append(f"{where}: a vector needs its size. Add size = N")
    if feature.shares is not None:
        problems += _shares_problems(feature, features, where)
    return problems


def _shares_problems(feature: Feature, features: Sequence[Feature], where: str) -> list[str]:
    if feature.hash is not None or feature.min_count is not None or feature.dim is not None:
        return [f"{where}: shares {feature.shares!r} and sets its own hash, min_count or dim. Keep one of the two"]
    owners = {one.name: one for one in features if one.kind in ("categorical", "sequence")}
    if feature.shares == feature.name or feature.shares not in owners:
        known = [name for name in owners if name != feature.name]
        return [f"{where}: shares: " + unknown("feature", feature.shares, known, "a categorical feature")]
    if owners[feature.shares].shares is not None:
        return [f"{where}: shares {feature.shares!r}, which shares another. Name that one"]
    return []


def task_problems(task: Task, tasks: Sequence[Task]) -> list[str]:
    """What is wrong with a task among these, in words."""
    names = [one.name for one in tasks]
    by_name = {one.name: one for one in tasks}
    problems = []
    if task.name in (ALL, "*", "macro") or "_given_" in task.name or "|" in task.name:
        problems.append(f"task {task.name!r}: 'all', '*', 'macro', '_given_' and '|' have a meaning here. Rename it")
    if task.after is not None and task.after not in by_name:
        problems.append(f"task {task.name!r}: after: " + unknown("task", task.after, names, "declared"))
    elif _circular(task, by_name):
        problems.append(f"task {task.name!r} comes after itself: {task.after!r}. Break the circle")
    if task.via is not None:
        if task.via not in by_name:
            problems.append(f"task {task.name!r}: via: " + unknown("task", task.via, names, "declared"))
        elif task.after is None or by_name[task.via].after != task.after or task.via == task.name:
            problems.append(f"task {task.name!r}: via {task.via!r} must be another task after the same parent")
    if not task.strict and task.after is None:
        problems.append(f"task {task.name!r}: strict = false says that it may happen without its parent; it has none")
    return problems


def _circular(task: Task, by_name: Mapping[str, Task]) -> bool:
    seen, at = {task.name}, task.after
    while at is not None and at in by_name:
        if at in seen:
            return True
        seen.add(at)
        at = by_name[at].after
    return False
