"""Which columns are labels, and the funnel that their values show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from polyrec.data.inspection import names
from polyrec.data.inspection.reading import Log
from polyrec.data.inspection.statistics import Column
from polyrec.errors import DataError
from polyrec.schema import Task

LOOSE = 0.2  # share of a child's positives that may lack the parent where the names say funnel
CHANCE = 1e-6  # of a child always meeting its parent by luck, below which it is taken as a funnel


@dataclass(frozen=True, slots=True)
class Counts:
    """Of 0/1 columns over every row: observed rows, positives, and rows of a child without one of the labels."""

    observed: Mapping[str, int]
    positives: Mapping[str, int]
    without: Mapping[tuple[str, str], int]  # child 1 and parent 0

    def implies(self, child: str, parent: str) -> bool:
        """Whether the child never happens without the parent, beyond what luck would do."""
        if self.without[child, parent] or not 0 < self.positives[child] <= self.positives[parent]:
            return False
        rate = self.positives[parent] / max(self.observed[parent], 1)
        return rate < 1.0 and rate ** self.positives[child] < CHANCE


@dataclass(frozen=True, slots=True)
class ChosenLabels:
    """Tasks, the columns beside them that look like outcomes too (and why), and guesses in words."""

    tasks: tuple[Task, ...]
    outcomes: Mapping[str, str]  # column -> why it is neither task nor feature
    guessed: bool


def count(log: Log, binary: Sequence[str], labels: Sequence[str]) -> Counts:
    """Count 0/1 columns, and each of them against each label, in one pass; null and NaN take no part.

    Args:
        log: every row of it is read.
        binary: 0/1 columns, the labels among them.
        labels: the possible parents.
    """
    if not binary:
        return Counts({}, {}, {})
    one = {name: pl.col(name).cast(pl.Float64) == 1.0 for name in binary}
    zero = {name: pl.col(name).cast(pl.Float64) == 0.0 for name in binary}
    wanted = [one[name].sum().alias(f"1 {name}") for name in binary]
    wanted += [zero[name].sum().alias(f"0 {name}") for name in binary]
    pairs = [(child, parent) for child in binary for parent in labels if child != parent]
    wanted += [(one[child] & zero[parent]).sum().alias(f"pair {at}") for at, (child, parent) in enumerate(pairs)]
    found = log.collect(wanted).row(0, named=True)
    return Counts(
        observed={name: found[f"1 {name}"] + found[f"0 {name}"] for name in binary},
        positives={name: found[f"1 {name}"] for name in binary},
        without={pair: found[f"pair {at}"] for at, pair in enumerate(pairs)},
    )


def choose_labels(columns: Sequence[Column], log: Log) -> ChosenLabels:
    """Choose tasks among the 0/1 columns by name, or where no name tells the run of them at the table's end.

    Raises:
        DataError: there is no 0/1 column that could be a label.
    """
    binary = [column.name for column in columns if column.binary]
    named = [name for name in binary if names.outcome_like(name)]
    trailing = _trailing(columns)
    guessed = not named
    chosen = named or [name for name in trailing if not names.has(name, names.HISTORY)]
    if not chosen:
        raise DataError(
            f"no column can be a label: {', '.join(binary) or 'none'} hold 0 and 1, and no name tells an outcome "
            "(click, buy, is_...). Add a 0/1 column of what happened, or check the log against a schema with [[tasks]]."
        )
    after_named = trailing[min((trailing.index(name) for name in named if name in trailing), default=len(trailing)) :]
    beside = [name for name in after_named if name not in chosen]
    counts = count(log, [*chosen, *beside], chosen)
    outcomes = {name: _beside(name, chosen, counts) for name in beside}
    alive = [name for name in chosen if 0 < counts.positives[name] < counts.observed[name]]
    for name in chosen:
        if alive and name not in alive:
            outcomes[name] = "a label of one class only"
    kept = alive or chosen
    return ChosenLabels(_funnel(kept, counts), outcomes, guessed)


def _trailing(columns: Sequence[Column]) -> list[str]:
    """The run of 0/1 columns at the end of the table, in its order."""
    run: list[str] = []
    for column in reversed(columns):
        if not column.binary:
            break
        run.insert(0, column.name)
    return run


def _beside(name: str, labels: Sequence[str], counts: Counts) -> str:
    for label in labels:
        if counts.implies(name, label):
            return f"happens only where {label} = 1 ({counts.positives[name]:,} rows): an outcome, not a feature"
    return "stands among the labels at the end of the table: it may be an outcome"


def _funnel(labels: Sequence[str], counts: Counts) -> tuple[Task, ...]:
    """Tasks whose parents are the nearest labels they imply, roots first."""
    parents = {label: _parent(label, labels, counts) for label in labels}
    titles = _titles(labels)
    tasks: list[Task] = []
    while len(tasks) < len(labels):
        placed = {task.label for task in tasks}
        ready = [one for one in labels if one not in placed and (parents[one] is None or parents[one][0] in placed)]  # type: ignore[index]
        for label in ready:
            parent = parents[label]
            after = None if parent is None else titles[parent[0]]
            tasks.append(Task(titles[label], label, after=after, strict=parent is None or parent[1]))
    return tuple(tasks)


def _parent(child: str, labels: Sequence[str], counts: Counts) -> tuple[str, bool] | None:
    """The nearest parent and whether it is strict."""
    place = {label: at for at, label in enumerate(labels)}
    sizes = {label: (counts.positives[label], -place[label]) for label in labels}
    strict = [one for one in labels if one != child and counts.implies(child, one) and sizes[one] > sizes[child]]
    if strict:
        return min(strict, key=lambda one: sizes[one]), True
    here = names.step(child)
    if here is None or not counts.positives[child]:
        return None
    loose = [
        one
        for one in labels
        if one != child
        and (there := names.step(one)) is not None
        and there < here
        and 0 < counts.without[child, one] <= LOOSE * counts.positives[child]
        and counts.positives[one] > counts.positives[child]
    ]
    return (min(loose, key=lambda one: counts.positives[one]), False) if loose else None


def _titles(labels: Sequence[str]) -> dict[str, str]:
    """Task names: the labels without is_, has_ and the like, where that keeps them apart."""
    short = {}
    for label in labels:
        for prefix in ("is_", "has_", "did_", "label_", "y_"):
            if label.startswith(prefix) and len(label) > len(prefix):
                short[label] = label.removeprefix(prefix)
                break
        else:
            short[label] = label.removesuffix("_label") or label
    taken = list(short.values())
    reserved = ("all", "*", "macro")
    return {
        label: title if taken.count(title) == 1 and title not in reserved else label for label, title in short.items()
    }
