"""A report's cells in reach: by scenario, target and metric, from the plain values of report.json."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from polyrec.evaluation.figures.wording import MACRO, POOLED, count, finite, interval, reading, title
from polyrec.schema import ALL, Target

FEW = 50  # positives, or negatives, below which a reading says little
ORDER = ("auc", "gauc", "ne", "log_loss", "pcoc", "ece")


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric of one cell; `value` is None where it is undefined, and `note` says why."""

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    positives: int | None = None
    note: str | None = None

    @property
    def negatives(self) -> int | None:
        """Rows without the label."""
        return None if self.n is None or self.positives is None else self.n - self.positives

    @property
    def few(self) -> bool:
        """Whether it rests on too few rows of either kind to be judged."""
        return any(rows is not None and rows < FEW for rows in (self.positives, self.negatives))

    @property
    def support(self) -> str:
        """What the value rests on: interval, positives of rows, note."""
        bounds = interval(self.metric, self.low, self.high)
        rows = None if self.n is None else f"{count(self.positives)} positives in {count(self.n)} rows"
        return " · ".join(one for one in (bounds and f"{bounds} (95 %)", rows, self.note) if one)

    @property
    def words(self) -> str:
        """Everything known of it in one line."""
        known = "undefined" if self.value is None else reading(self.metric, self.value)
        return " · ".join(filter(None, [f"{title(self.metric)} {known}", self.support]))


@dataclass(frozen=True, slots=True)
class Cells:
    """All readings of a report. `scenarios` leaves out the pooled and the mean rows."""

    scenarios: tuple[str, ...]
    targets: tuple[Target, ...]
    metrics: tuple[str, ...]
    by_key: Mapping[tuple[str, Target, str], Reading]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "Cells":
        """From the `cells` of a report.json, keeping the order in which names first appear."""
        by_key: dict[tuple[str, Target, str], Reading] = {}
        for row in rows:
            target = Target(str(row["task"]), str(row.get("space") or ALL))
            by_key[str(row["scenario"]), target, str(row["metric"])] = _reading(row)
        scenarios = dict.fromkeys(name for name, _, _ in by_key if name not in (POOLED, MACRO))
        found = list(dict.fromkeys(metric for _, _, metric in by_key))
        metrics = [*(one for one in ORDER if one in found), *(one for one in found if one not in ORDER)]
        targets = dict.fromkeys(target for _, target, _ in by_key)
        return cls(tuple(scenarios), tuple(targets), tuple(metrics), by_key)

    def get(self, scenario: str, target: Target, metric: str) -> Reading | None:
        """The reading, or None where the report has no such row."""
        return self.by_key.get((scenario, target, metric))

    def value(self, scenario: str, target: Target, metric: str) -> float | None:
        """The reading's value, or None where it is missing or undefined."""
        found = self.get(scenario, target, metric)
        return None if found is None else found.value

    def known(self, target: Target, metric: str) -> list[tuple[str, Reading]]:
        """Scenarios with a defined value, the best for `auc` (the highest) first."""
        found = [(name, one) for name in self.scenarios if (one := self.get(name, target, metric)) is not None]
        return sorted(
            ((name, one) for name, one in found if one.value is not None), key=lambda pair: -(pair[1].value or 0.0)
        )

    def judged(self, target: Target, metric: str) -> list[tuple[str, Reading]]:
        """Of the known ones those with enough rows to be judged; all of them where none has."""
        known = self.known(target, metric)
        return [(name, one) for name, one in known if not one.few] or known

    def undefined(self, metric: str) -> list[tuple[str, Target, Reading]]:
        """Cells (not the pooled rows) whose value is undefined."""
        return [
            (name, target, one)
            for (name, target, which), one in self.by_key.items()
            if which == metric and one.value is None and name not in (POOLED, MACRO)
        ]

    def small(self, metric: str) -> bool:
        """Whether any defined cell rests on too few rows to be judged."""
        return any(one.few and one.value is not None for (_, _, which), one in self.by_key.items() if which == metric)

    @property
    def totals(self) -> tuple[str, ...]:
        """Which of the pooled and the mean rows the report has; none beside a single scenario, which equals them."""
        if len(self.scenarios) == 1:
            return ()
        present = {name for name, _, _ in self.by_key}
        return tuple(name for name in (POOLED, MACRO) if name in present)


def _reading(row: Mapping[str, Any]) -> Reading:
    n, positives = finite(row.get("n")), finite(row.get("positives"))
    note = row.get("note")
    return Reading(
        metric=str(row["metric"]),
        value=finite(row.get("value")),
        low=finite(row.get("low")),
        high=finite(row.get("high")),
        n=None if n is None else int(n),
        positives=None if positives is None else int(positives),
        note=None if note is None else str(note),
    )
