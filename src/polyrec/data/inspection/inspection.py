"""One look at a log before training: a schema, statistics, and what would spoil a model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from polyrec.data.files import expand
from polyrec.data.inspection import cells as cell_counts
from polyrec.data.inspection import funnel, leaks, period, quality
from polyrec.data.inspection.association import Coded
from polyrec.data.inspection.cells import CellCount
from polyrec.data.inspection.findings import LEAKS, Finding, by_severity
from polyrec.data.inspection.keys import choose_keys
from polyrec.data.inspection.kinds import choose_features
from polyrec.data.inspection.labels import Counts, choose_labels, count
from polyrec.data.inspection.reading import Log, open_log, read
from polyrec.data.inspection.statistics import Column, Tallies
from polyrec.data.places import Place, few
from polyrec.errors import DataError
from polyrec.progress import Progress
from polyrec.schema import Feature, Keys, Schema, Task
from polyrec.schema import funnel as ancestry


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a log holds. `schema` is the inferred one, or the one the log was held against.

    `choices`: in words, what was chosen where the log does not say (keys, tasks). `excluded`: columns that are
    no features, each with the reason.
    """

    paths: tuple[str, ...]
    rows: int
    sampled: int
    schema: Schema
    inferred: bool
    columns: tuple[Column, ...]
    cells: tuple[CellCount, ...]
    findings: tuple[Finding, ...]
    choices: tuple[str, ...]
    excluded: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            "paths": list(self.paths),
            "rows": self.rows,
            "sampled": self.sampled,
            "inferred": self.inferred,
            "schema": self.schema.to_dict(),
            "columns": [column.to_dict() for column in self.columns],
            "cells": [cell.to_dict() for cell in self.cells],
            "findings": [finding.to_dict() for finding in self.findings],
            "choices": list(self.choices),
            "excluded": dict(self.excluded),
        }

    def to_toml(self) -> str:
        """The schema as TOML, with what was chosen and what was left out, and why, as comments."""
        lines = [f"Written by polyrec inspect from {self.rows:,} rows of {few(self.paths)}.", *self.choices]
        if self.excluded:
            lines += ["", "Columns that are no features:"]
            lines += [f"  {name}: {reason}" for name, reason in self.excluded.items()]
        comments = "\n".join(f"# {line}".rstrip() for text in lines for line in text.split("\n"))
        return f"{comments}\n\n{self.schema.to_toml()}"


def inspect(
    paths: Sequence[str | Place],
    schema: Schema | None = None,
    sample: int = 200_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Inspection:
    """Look at a log: infer a schema (or hold the log against one), count, and find what would spoil a model.

    Sums are over every row, streamed; associations are measured on `sample` random rows and as many
    consecutive ones. Memory does not grow with the files.

    Args:
        paths: parquet or CSV files, or patterns.
        schema: hold the log against this; none is inferred then.
        sample: rows to measure associations on.
        seed: of the sample.
        progress: told how many rows are read.

    Raises:
        DataError: no file, no rows, an unreadable file, a column the schema names is missing, or nothing in the
            log can be a scenario or a label.

    Example:
        >>> import tempfile, polars as pl
        >>> from pathlib import Path
        >>> log = pl.DataFrame({"tab": ["home", "feed"] * 500, "price": range(1000), "click": [0, 0, 1, 0] * 250})
        >>> log = log.select("tab", "price", pl.col("click").alias("colour"), "click")
        >>> path = Path(tempfile.mkdtemp()) / "log.parquet"
        >>> log.write_parquet(path)
        >>> found = inspect([path])
        >>> found.schema.keys.scenario, [task.name for task in found.schema.tasks]
        ('tab', ['click'])
        >>> [finding.columns for finding in found.findings if finding.kind == "label_copy"]
        [('colour', 'click')]
    """
    tallies = Tallies()
    log = read(open_log(expand(paths), progress), sample, seed, tallies.see, progress)
    columns = tallies.columns(log)
    names = tuple(str(path) for path in log.source.paths)
    if schema is None:
        return _inferred(names, columns, log)
    return _checked(names, columns, log, schema)


@dataclass(frozen=True, slots=True)
class _Look:
    """What the searches for findings share. `beside`: columns that make two rows the same row."""

    columns: tuple[Column, ...]
    log: Log
    keys: Keys
    tasks: tuple[Task, ...]
    features: tuple[Feature, ...]
    beside: tuple[str, ...]
    coded: Mapping[str, Coded]
    counts: Counts

    @classmethod
    def at(
        cls, columns: tuple[Column, ...], log: Log, keys: Keys, tasks: tuple[Task, ...], outcomes: Iterable[str]
    ) -> "_Look":
        """The look before features are chosen; labels and outcomes do not make two rows the same."""
        taken = {*(task.label for task in tasks), *outcomes}
        beside = tuple(column.name for column in columns if column.name not in taken and not column.constant)
        counts = count(log, [column.name for column in columns if column.binary], [task.label for task in tasks])
        return cls(columns, log, keys, tasks, (), beside, leaks.code_columns(log.sample, beside), counts)


def _inferred(paths: tuple[str, ...], columns: tuple[Column, ...], log: Log) -> Inspection:
    labels = choose_labels(columns, log)
    outcomes = dict(labels.outcomes) | funnel.named_labels(columns)
    taken = [*(task.label for task in labels.tasks), *outcomes]
    keys = choose_keys(columns, taken)
    look = _Look.at(columns, log, keys.keys, labels.tasks, outcomes)
    chosen = choose_features(columns, keys.keys, taken, log, look.coded)
    look = replace(look, features=chosen.features)
    cells = cell_counts.count_cells(log, keys.keys.scenario, labels.tasks)
    found = _findings(look, cells)
    found += funnel.find_label_values(columns, labels.tasks)
    found += funnel.find_outcomes(labels.outcomes)
    found += _guesses(keys.guessed, keys.keys, labels.guessed, labels.tasks)
    excluded = outcomes | dict(chosen.excluded) | _left_out(found)
    kept = tuple(feature for feature in chosen.features if feature.name not in excluded)
    if not kept:
        raise DataError(
            f"no column is left as a feature: {'; '.join(f'{name}: {why}' for name, why in excluded.items())}. "
            "Add columns that describe the user, the item or the context."
        )
    schema = Schema(keys.keys, kept, labels.tasks, tuple(sorted({cell.scenario for cell in cells})))
    choices = (*(f"{role}: {why}" for role, why in keys.reasons), *map(_worded, labels.tasks))
    return Inspection(
        paths, log.rows, len(log.sample), schema, True, columns, cells, by_severity(found), choices, excluded
    )


def _checked(paths: tuple[str, ...], columns: tuple[Column, ...], log: Log, schema: Schema) -> Inspection:
    log.source.require(schema.columns)
    binary = {column.name for column in columns if column.binary}
    tasks = tuple(
        task for task in schema.tasks if all(one.label in binary for one in ancestry(schema.tasks, task.name))
    )
    labels = [task.label for task in schema.tasks]
    look = replace(_Look.at(columns, log, schema.keys, tasks, labels), features=schema.features)
    names = [feature.name for feature in schema.features]
    outcomes = funnel.undeclared_outcomes(columns, names, tasks, look.counts)
    look = replace(look, beside=tuple(name for name in look.beside if name not in outcomes))
    cells = cell_counts.count_cells(log, schema.keys.scenario, tasks)
    found = _findings(look, cells)
    found += funnel.find_label_values([one for one in columns if one.name in labels], schema.tasks)
    found += funnel.find_outcomes(outcomes)
    found += _strangers(schema, cells)
    excluded = {one.name: "not in the schema" for one in columns if one.name not in schema.columns}
    return Inspection(paths, log.rows, len(log.sample), schema, False, columns, cells, by_severity(found), (), excluded)


def _findings(look: _Look, cells: Sequence[CellCount]) -> list[Finding]:
    """What does not depend on whether the schema was inferred or given."""
    columns, log, keys, tasks = look.columns, look.log, look.keys, look.tasks
    names = [feature.name for feature in look.features]
    found = list(leaks.find_leaks(leaks.ask(tasks, log), names, look.beside, log, look.coded))
    found += funnel.find_implying(_untold(names, found), tasks, look.counts)
    found += period.find_whole_period(columns, _untold(names, found), keys, tasks, log)
    found += funnel.find_orphans(tasks, look.counts)
    found += quality.find_duplicates(look.features, look.coded, keys, log)
    found += quality.find_bent_ids(columns, keys)
    found += quality.find_empty(columns, names, log)
    found += quality.find_repeated(log)
    found += quality.find_keys(columns, keys)
    found += cell_counts.find_one_class(cells, tasks, log.rows)
    found += cell_counts.find_small_cells(cells)
    return found


def _untold(names: Sequence[str], found: Sequence[Finding]) -> list[str]:
    told = {finding.columns[0] for finding in found}
    return [name for name in names if name not in told]


def _left_out(found: Sequence[Finding]) -> dict[str, str]:
    """Columns that findings take out of the features, with the reason."""
    reasons = {one.columns[0]: f"repeats {one.columns[1]}" for one in found if one.kind == "duplicate"}
    leaking = [one for one in found if one.kind in LEAKS]
    return reasons | {one.columns[0]: f"may know {one.columns[-1]}: see findings" for one in leaking}


def _guesses(scenario: bool, keys: Keys, label: bool, tasks: Sequence[Task]) -> list[Finding]:
    found = []
    if scenario:
        said = f"{keys.scenario} is taken as the scenario by its values alone. Check [keys] scenario in the schema."
        found.append(Finding("guess", "warning", (keys.scenario,), said))
    if label:
        labels = tuple(task.label for task in tasks)
        said = f"{', '.join(labels)}: taken as labels because they are 0/1 columns at the end of the table. Check them."
        found.append(Finding("guess", "warning", labels, said))
    return found


def _strangers(schema: Schema, counted: Sequence[CellCount]) -> list[Finding]:
    """Scenarios of the log that the schema does not declare, and the other way round."""
    there = {cell.scenario for cell in counted}
    if not schema.scenarios or not there:
        return []
    found = []
    for name in sorted(there - set(schema.scenarios)):
        said = f"scenario {name!r} occurs in {schema.keys.scenario} and not in the schema. Add it, or drop its rows."
        found.append(Finding("unknown_scenario", "error", (schema.keys.scenario,), said))
    for name in sorted(set(schema.scenarios) - there):
        said = f"scenario {name!r} is in the schema and in no row of {schema.keys.scenario}."
        found.append(Finding("absent_scenario", "info", (schema.keys.scenario,), said))
    return found


def _worded(task: Task) -> str:
    if task.after is None:
        return f"task {task.name}: label {task.label!r}"
    how = "never" if task.strict else "seldom"
    return f"task {task.name}: label {task.label!r}, {how} without {task.after!r}"
