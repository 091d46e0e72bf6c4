"""Rows and positives of every scenario, task and space, and which of them are too few."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from polyrec.data.inspection.findings import Finding, share
from polyrec.data.inspection.reading import Log
from polyrec.schema import ALL, Task, targets

LEARN = 100  # rows of the rarer class that a cell needs for a model to learn from
JUDGE = 200  # so that a tenth of them, as a test, holds 20: below that an AUC is mostly luck


@dataclass(frozen=True, slots=True)
class CellCount:
    """One scenario x task x space: rows with an observed label, and positives among them."""

    scenario: str
    task: str
    space: str
    rows: int
    positives: int

    @property
    def rate(self) -> float | None:
        """Positives by rows; None where there are no rows."""
        return self.positives / self.rows if self.rows else None

    @property
    def rarer(self) -> int:
        """Rows of the rarer class."""
        return min(self.positives, self.rows - self.positives)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        names = ("scenario", "task", "space", "rows", "positives")
        return {name: getattr(self, name) for name in names} | {"rate": self.rate}


def count_cells(log: Log, scenario: str, tasks: Sequence[Task]) -> tuple[CellCount, ...]:
    """Count cells over every row, scenarios by falling size."""
    labels = {task.name: pl.col(task.label).cast(pl.Float64).fill_nan(None) for task in tasks}
    wanted = [pl.len().alias("_rows")]
    for target in targets(tasks):  # sums alone, so that it streams
        label = labels[target.task]
        inside = pl.lit(True) if target.space == ALL else labels[target.space] == 1.0
        wanted.append((label.is_not_null() & inside).sum().alias(f"rows {target.name}"))
        wanted.append(((label == 1.0) & inside).sum().alias(f"positives {target.name}"))
    found = log.collect(wanted, by=[scenario]).drop_nulls(scenario).sort(["_rows", scenario], descending=[True, False])
    return tuple(
        CellCount(_name(row[scenario]), one.task, one.space, row[f"rows {one.name}"], row[f"positives {one.name}"])
        for row in found.iter_rows(named=True)
        for one in targets(tasks)
    )


def _name(value: Any) -> str:
    """A scenario as the encoder names it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def find_small_cells(cells: Sequence[CellCount]) -> Iterator[Finding]:
    """One finding a target: the scenarios in which it has too few of one class, with the numbers."""
    for task, space in dict.fromkeys((cell.task, cell.space) for cell in cells):
        asked = [cell for cell in cells if (cell.task, cell.space) == (task, space)]
        if sum(cell.rarer for cell in asked) == 0:
            continue  # said as a label of one class
        name = task if space == ALL else f"{task} given {space}"
        few = [cell for cell in asked if cell.rarer < LEARN]
        some = [cell for cell in asked if LEARN <= cell.rarer < JUDGE]
        if few:
            said = (
                f"{name}: {_listed(few)} - fewer than {LEARN} of one class, too few to learn from alone. Share "
                "parameters with other scenarios, merge them, or log more."
            )
            yield Finding("small_cells", "warning", (), said, float(len(few)))
        if some:
            said = (
                f"{name}: {_listed(some)} - learnable, but a tenth of them as a test holds fewer than {JUDGE // 10} of "
                "one class: expect wide intervals."
            )
            yield Finding("unjudgeable_cells", "info", (), said, float(len(some)))


def _listed(cells: Sequence[CellCount], most: int = 5) -> str:
    shown = [f"{cell.scenario} ({cell.positives:,} positives of {cell.rows:,})" for cell in cells[:most]]
    more = f" and {len(cells) - most} more scenarios" if len(cells) > most else ""
    return ", ".join(shown) + more


def find_one_class(cells: Sequence[CellCount], tasks: Sequence[Task], rows: int) -> Iterator[Finding]:
    """Labels that are all 0 or all 1, or seldom observed."""
    for task in tasks:
        whole = [cell for cell in cells if cell.task == task.name and cell.space == ALL]
        observed, positives = sum(cell.rows for cell in whole), sum(cell.positives for cell in whole)
        if not observed:
            said = f"{task.label} is null in every row: task {task.name!r} cannot be learned. Leave the task out."
            yield Finding("one_class", "error", (task.label,), said, 0.0)
        elif positives in (0, observed):
            said = (
                f"{task.label} is {int(positives > 0)} in all {observed:,} rows where it is observed: task "
                f"{task.name!r} cannot be learned. Check how it is logged, or leave the task out."
            )
            yield Finding("one_class", "error", (task.label,), said, float(positives > 0))
        if 0 < observed < rows:
            said = (
                f"{task.label} is null in {rows - observed:,} rows ({share(1 - observed / rows)}): not observed, they "
                f"take no part in task {task.name!r}."
            )
            yield Finding("unobserved_label", "info", (task.label,), said, 1 - observed / rows)
