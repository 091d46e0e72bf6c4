"""The report: every metric of every cell with its interval, and report.json."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from polyrec.atomic import write_text
from polyrec.declare import parse
from polyrec.errors import DataError
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.groups import MACRO, POOLED
from polyrec.evaluation.rows import Row
from polyrec.evaluation.tabulate import tabulate
from polyrec.evaluation.text import aligned, number
from polyrec.schema import Target

__all__ = ["Report", "Row"]
VERSION = 1
_OWN = ("version", "recipe", "split", "cells", "run", "reliability", "intervals")


@dataclass(frozen=True, slots=True)
class Report:
    """What a model is worth on a set of rows, cell by cell.

    `extra` holds further top-level keys of report.json (the schema, the course of training, ...).
    """

    recipe: str
    split: str
    rows: tuple[Row, ...]
    run: Mapping[str, Any] = field(default_factory=dict)
    reliability: tuple[Mapping[str, Any], ...] = ()
    intervals: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        collected: Collected,
        *,
        recipe: str,
        split: str,
        run: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> "Report":
        """Measure every cell of the collected rows.

        Raises:
            DataError: NaN among the logits; `extra` uses a name of the report's own.
        """
        taken = [name for name in extra or {} if name in _OWN]
        if taken:
            raise DataError(f"extra key {taken[0]!r} is the report's own. Taken: {', '.join(_OWN)}. Rename it.")
        found = tabulate(collected)
        return cls(recipe, split, found.rows, run or {}, found.reliability, found.intervals, extra or {})

    def get(self, scenario: str, target: Target, metric: str = "auc") -> Row | None:
        """One line, or None where the report has no such cell."""
        wanted = (scenario, target.task, target.space, metric)
        return next((row for row in self.rows if (row.scenario, row.task, row.space, row.metric) == wanted), None)

    @property
    def targets(self) -> tuple[Target, ...]:
        """Targets, in the order of the report."""
        return tuple(dict.fromkeys(Target(row.task, row.space) for row in self.rows))

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Scenarios, and with them `*` and `macro`, in the order of the report."""
        return tuple(dict.fromkeys(row.scenario for row in self.rows))

    def table(self, metric: str = "auc", most: int = 40) -> str:
        """A metric of each scenario and target with its interval, every metric of all rows pooled, and before them
        what retrieval found, where the report has it.

        Args:
            metric: of the first table.
            most: scenarios shown; the others are counted.
        """
        parts = [_retrieval_table(self, most), _cells_table(self, metric, most), _pooled_table(self)]
        return "\n\n".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as report.json has them."""
        return {
            "version": VERSION,
            "recipe": self.recipe,
            "split": self.split,
            "cells": [asdict(row) for row in self.rows],
            "run": dict(self.run),
            "intervals": dict(self.intervals),
            "reliability": [dict(one) for one in self.reliability],
            **self.extra,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "the report") -> "Report":
        """A report from the plain values of report.json.

        Raises:
            DataError: another version, a missing key, or a line with wrong types.
        """
        if values.get("version") != VERSION:
            raise DataError(
                f"{where} has version {values.get('version')!r}; this polyrec reads version {VERSION}. "
                "Evaluate the model again to write it anew."
            )
        for key, kind in (("recipe", str), ("split", str), ("cells", list), ("run", dict)):
            if not isinstance(values.get(key), kind):
                raise DataError(f"{where} has no proper {key!r}: {values.get(key)!r}. Evaluate the model again.")
        return cls(
            recipe=values["recipe"],
            split=values["split"],
            rows=tuple(parse(Row, row, f"{where} cells[{place}]", DataError) for place, row in _lines(values, where)),
            run=values["run"],
            reliability=tuple(values.get("reliability", ())),
            intervals=values.get("intervals", {}),
            extra={key: value for key, value in values.items() if key not in _OWN},
        )

    def to_json(self) -> str:
        """The text of report.json; refuses what JSON cannot hold."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "the report") -> "Report":
        """A report from the text of report.json.

        Raises:
            DataError: no JSON, or see `from_dict`.
        """
        try:
            values = json.loads(text)
        except ValueError as reason:
            raise DataError(f"{where} is not JSON: {reason}. Evaluate the model again to write it anew.") from reason
        if not isinstance(values, dict):
            raise DataError(f"{where} holds a {type(values).__name__}, not a report. Name a report.json.")
        return cls.from_dict(values, where)

    def save(self, path: str | Path) -> Path:
        """Write report.json whole."""
        return write_text(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "Report":
        """Read a report.json.

        Raises:
            DataError: the file cannot be read; see `from_json`.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as reason:
            raise DataError(f"{path} cannot be read: {reason}. Name the report.json of a finished run.") from reason
        return cls.from_json(text, str(path))


def _cells_table(report: Report, metric: str, most: int) -> str:
    targets = report.targets
    named = [name for name in report.scenarios if name not in (POOLED, MACRO)]
    lines = [[name, *(_shown(report.get(name, target, metric)) for target in targets)] for name in named[:most]]
    if len(named) > most:
        lines.append([f"... {len(named) - most} more", *("" for _ in targets)])
    for name, words in ((MACRO, "mean of scenarios"), (POOLED, "all rows pooled")):
        lines.append([words, *(_shown(report.get(name, target, metric)) for target in targets)])
    return aligned([metric, *(target.name for target in targets)], lines)


def _retrieval_table(report: Report, most: int) -> str:
    found = [row for row in report.rows if _retrieves(row)]
    if not found:
        return ""
    value = {(row.scenario, row.metric): number(row.metric, row.value) for row in found}
    metrics = tuple(dict.fromkeys(row.metric for row in found))
    named = [name for name in dict.fromkeys(row.scenario for row in found) if name != MACRO]
    shown = [*((name, name) for name in named[:most]), (MACRO, "mean of scenarios")]
    lines = [[words, *(value.get((name, metric), "-") for metric in metrics)] for name, words in shown]
    if len(named) > most:
        lines.insert(most, [f"... {len(named) - most} more", *("" for _ in metrics)])
    return aligned([f"{found[0].task}, retrieved", *metrics], lines)


def _retrieves(row: Row) -> bool:
    return "@" in row.metric


def _shown(row: Row | None) -> str:
    if row is None or row.value is None:
        return "-" if row is None or row.note is None else f"- ({row.note})"
    value = number(row.metric, row.value)
    if row.low is None or row.high is None:
        return value
    return f"{value} ({number(row.metric, row.low)} to {number(row.metric, row.high)})"


def _pooled_table(report: Report) -> str:
    metrics = tuple(dict.fromkeys(row.metric for row in report.rows if not _retrieves(row)))
    lines = []
    for target in report.targets:
        found = [report.get(POOLED, target, metric) for metric in metrics]
        first = next((row for row in found if row is not None), None)
        counts = [f"{first.n:,}", f"{first.positives:,}"] if first is not None else ["-", "-"]
        lines.append([target.name, *counts, *(number(row.metric, row.value) if row else "-" for row in found)])
    return aligned(["all rows pooled", "rows", "positives", *metrics], lines)


def _lines(values: Mapping[str, Any], where: str) -> Sequence[tuple[int, Mapping[str, Any]]]:
    for place, row in enumerate(values["cells"]):
        if not isinstance(row, dict):
            raise DataError(f"{where} cells[{place}] is {row!r}, not a table of values. Evaluate the model again.")
    return list(enumerate(values["cells"]))
