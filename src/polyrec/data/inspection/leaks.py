"""Columns that may know the answer: copies of a label, values written after it, statistics of the whole period."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from polyrec.data.inspection.association import Array, Coded, Twins, among_twins, code, strength
from polyrec.data.inspection.findings import Finding, share
from polyrec.data.inspection.reading import Log
from polyrec.schema import Task

COPY = 0.99  # AUC of one column from which it is called a copy
STRONG = 0.95  # AUC of one column from which a person should look
PURE = 0.01  # share of the rarer class below which a value settles the label
MIXED = 0.2  # share that class must have elsewhere for that to say something
COVER = 0.01  # share of the settled class that the value must hold
SUPPORT = 30  # rows of such a value; a column of more than SOME values needs more
SOME = 20
SUPPORT_OF_MANY = 200
TWIN_AUC = 0.7  # among otherwise equal rows, lower end of the 95 % interval
TWIN_GROUPS = 100
CLASS = 30  # rows of each class that a label needs to be judged by
PAIRED = 50  # distinct values up to which two columns are tried together


@dataclass(frozen=True, slots=True)
class Question:
    """A task in its own space: which rows of the samples it is asked of, and their answers."""

    task: Task
    space: str  # in words, for messages
    inside: Array  # rows of the sample, [N]
    label: Array
    inside_run: Array  # rows of the stretches
    label_run: Array


def ask(tasks: Sequence[Task], log: Log) -> list[Question]:
    """Tasks that the samples hold enough of both answers for."""
    by_name = {task.name: task for task in tasks}
    found = []
    for task in tasks:
        parent = by_name[task.after] if task.after else None
        inside, label = _asked(log.sample, task, parent)
        inside_run, label_run = _asked(log.stretches, task, parent)
        if min(label.sum(), len(label) - label.sum()) >= CLASS:
            space = f" given {parent.name}" if parent else ""
            found.append(Question(task, space, inside, label, inside_run, label_run))
    return found


def _asked(frame: pl.DataFrame, task: Task, parent: Task | None) -> tuple[Array, Array]:
    label = frame[task.label].cast(pl.Float64).fill_nan(None)
    inside = label.is_not_null()
    if parent is not None:
        inside = inside & (frame[parent.label].cast(pl.Float64).fill_null(0.0) == 1.0)
    rows = np.flatnonzero(inside.to_numpy())
    return rows, label.to_numpy()[rows]


def code_columns(frame: pl.DataFrame, columns: Sequence[str]) -> dict[str, Coded]:
    """Columns of a sample as numbers; nested ones are left out."""
    nested = (pl.List, pl.Array, pl.Struct, pl.Object)
    return {name: code(frame[name]) for name in columns if not isinstance(frame.schema[name], nested)}


def _part(column: Coded, rows: Array) -> Coded:
    order = None if column.order is None else column.order[rows]
    return Coded(column.codes[rows], column.distinct, order, column.null)


def find_leaks(
    questions: Sequence[Question],
    candidates: Sequence[str],
    beside: Sequence[str],
    log: Log,
    coded: Mapping[str, Coded],
) -> Iterator[Finding]:
    """What candidates know about each question, the strongest statement of each column and question.

    Args:
        questions: tasks in their spaces.
        candidates: columns that would be features.
        beside: columns that make two rows the same row: all but labels and outcomes.
        log: the samples.
        coded: `beside` and candidates of `log.sample` as numbers.
    """
    runs = coded if log.stretches is log.sample else code_columns(log.stretches, list(coded))
    for question in questions:
        told: set[str] = set()
        for name in candidates:
            if name not in coded:
                continue
            finding = _alone(name, _part(coded[name], question.inside), question, log)
            if finding is not None:
                told.add(name)
                yield finding
        yield from _together([name for name in candidates if name in coded and name not in told], coded, question)
        around = {name: _part(runs[name], question.inside_run) for name in beside if name in runs}
        for name in candidates:
            if name in around and name not in told and around[name].distinct > 1:
                twins = among_twins(around, name, question.label_run)
                if twins is not None:
                    yield from _twin_finding(name, twins, question)


def _alone(name: str, column: Coded, question: Question, log: Log) -> Finding | None:
    label, task = question.label, question.task
    telling = strength(column, label)
    if telling >= COPY:
        return Finding(
            "label_copy",
            "error",
            (name, task.label),
            f"{name} alone tells {task.label}{question.space}: AUC {telling:.4f} on {len(label):,} rows. It is the "
            "label, a copy of it, or made from it. Leave it out of the features.",
            telling,
        )
    settled = _settling(column, label)
    if settled is not None:
        place, rows, hits = settled
        value = _value(log.sample[name], column, place, question.inside)
        rate = float(label.mean())
        return Finding(
            "after_outcome",
            "warning",
            (name, task.label),
            f"{name} looks known only after {task.label}: where it is {value}, {task.label}{question.space} is 1 in "
            f"{share(hits / rows)} of {rows:,} rows, against {share(rate)} overall. Leave it out unless you are sure "
            "that this value is known when the row is shown.",
            hits / rows,
        )
    if telling >= STRONG:
        return Finding(
            "after_outcome",
            "warning",
            (name, task.label),
            f"{name} alone tells {task.label}{question.space} with AUC {telling:.3f}: more than a column known "
            "beforehand usually does. Leave it out unless you are sure that it is known when the row is shown.",
            telling,
        )
    return None


def _settling(column: Coded, label: Array) -> tuple[int, int, int] | None:
    """The value (or bin) with most rows that all but settles the label: its code, rows and positives."""
    codes, distinct = column.values_or_bins()
    rows = np.bincount(codes, minlength=distinct)
    hits = np.bincount(codes, label, minlength=distinct)
    needed = SUPPORT if np.count_nonzero(rows) <= SOME else SUPPORT_OF_MANY
    rate, positives, negatives = label.mean(), label.sum(), len(label) - label.sum()
    enough = rows >= needed
    always = enough & (rows - hits <= PURE * rows) & (1 - rate >= MIXED) & (hits >= COVER * positives)
    never = enough & (hits <= PURE * rows) & (rate >= MIXED) & (rows - hits >= COVER * negatives)
    pure = np.flatnonzero(always | never)
    if not len(pure):
        return None
    place = int(pure[np.argmax(rows[pure])])
    return place, int(rows[place]), int(hits[place])


def _value(values: pl.Series, column: Coded, place: int, inside: Array) -> str:
    """The value of a code in words, or the range of a bin."""
    codes, _ = column.values_or_bins()
    found = values.gather(inside[codes == place])
    if codes is column.codes:
        return "null" if found[0] is None else repr(found[0]) if isinstance(found[0], str) else str(found[0])
    return f"{found.min()!s} to {found.max()!s}"


def _together(names: Sequence[str], coded: Mapping[str, Coded], question: Question) -> Iterator[Finding]:
    """Pairs of columns of few values of which the label is a function."""
    few = [name for name in names if 1 < coded[name].distinct <= PAIRED]
    label = question.label
    for left, right in combinations(few, 2):
        one, two = coded[left], coded[right]
        both = one.codes[question.inside] * two.distinct + two.codes[question.inside]
        rows, hits = np.bincount(both), np.bincount(both, label)
        if ((hits == 0) | (hits == rows)).all():
            yield Finding(
                "label_copy",
                "error",
                (left, right, question.task.label),
                f"{left} and {right} together settle {question.task.label}{question.space}: each of the "
                f"{np.count_nonzero(rows)} pairs of values has one answer, over {len(label):,} rows. Leave out the one "
                "that was made from the label.",
                1.0,
            )


def _twin_finding(name: str, twins: Twins, question: Question) -> Iterator[Finding]:
    low = twins.auc - 1.96 * twins.error
    if twins.groups >= TWIN_GROUPS and low >= TWIN_AUC:
        yield Finding(
            "outcome_among_twins",
            "warning",
            (name, question.task.label),
            f"{name} looks set or corrected by {question.task.label}{question.space}: in {twins.groups:,} groups of "
            f"rows alike in every other column ({twins.rows:,} rows), it alone tells which had {question.task.label} = "
            f"1, with AUC {twins.auc:.2f} ± {1.96 * twins.error:.2f}. Leave it out unless you are sure that it is "
            "known when the row is shown.",
            twins.auc,
        )
