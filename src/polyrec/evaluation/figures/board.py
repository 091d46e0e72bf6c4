"""Several reports as one board: an entry a recipe, averaged over its seeds."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from polyrec.evaluation.figures.cells import Cells, Reading
from polyrec.evaluation.figures.heat import by_rows
from polyrec.evaluation.figures.wording import POOLED, finite
from polyrec.schema import Target


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipe: its reports, one a seed."""

    name: str
    cells: tuple[Cells, ...]
    runs: tuple[Mapping[str, Any], ...]

    def values(self, scenario: str, target: Target, metric: str) -> list[float]:
        """The metric of one cell by seed, where it is defined."""
        found = (one.value(scenario, target, metric) for one in self.cells)
        return [one for one in found if one is not None]

    def first(self, scenario: str, target: Target, metric: str) -> Reading | None:
        """The reading of the first seed that has the cell."""
        found = (one.get(scenario, target, metric) for one in self.cells)
        return next((one for one in found if one is not None), None)

    def mean(self, scenario: str, target: Target, metric: str) -> float | None:
        """Its mean over seeds."""
        found = self.values(scenario, target, metric)
        return sum(found) / len(found) if found else None

    def deviation(self, scenario: str, target: Target, metric: str) -> float | None:
        """Its standard deviation over seeds; None for a single one."""
        found = self.values(scenario, target, metric)
        if len(found) < 2:
            return None
        mean = sum(found) / len(found)
        return math.sqrt(sum((one - mean) ** 2 for one in found) / (len(found) - 1))

    def run(self, key: str) -> float | None:
        """A number of its runs, on average."""
        found = [one for each in self.runs if (one := finite(each.get(key))) is not None]
        return sum(found) / len(found) if found else None


@dataclass(frozen=True, slots=True)
class Board:
    """Recipes by falling score: the mean AUC over cells that every recipe has."""

    entries: tuple[Entry, ...]
    scenarios: tuple[str, ...]
    targets: tuple[Target, ...]

    @classmethod
    def of(cls, reports: Iterable[Mapping[str, Any]]) -> "Board":
        """From the values of report.json files; those of one recipe become one entry."""
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for report in reports:
            groups.setdefault(str(report.get("recipe") or "?"), []).append(report)
        entries = [
            Entry(
                name,
                tuple(Cells.of(one.get("cells") or ()) for one in found),
                tuple(one.get("run") or {} for one in found),
            )
            for name, found in groups.items()
        ]
        everything = [cells for entry in entries for cells in entry.cells]
        first = max(everything, key=lambda one: len(one.by_key), default=Cells.of(()))
        targets = dict.fromkeys(target for cells in everything for target in cells.targets)
        board = cls(tuple(entries), tuple(by_rows(first)), tuple(targets))
        return cls(tuple(sorted(entries, key=lambda one: -(board.score(one) or 0.0))), board.scenarios, board.targets)

    @property
    def columns(self) -> tuple[str, ...]:
        """All rows pooled where there are several scenarios, else the one there is."""
        return self.scenarios if len(self.scenarios) == 1 else (POOLED, *self.scenarios)

    @property
    def whole(self) -> str:
        """The scenario that stands for all rows."""
        return self.columns[0]

    def score(self, entry: Entry) -> float | None:
        """Mean AUC over the cells that are defined for every entry."""
        found = [
            mean
            for name in self.scenarios
            for target in self.targets
            if all(one.values(name, target, "auc") for one in self.entries)
            and (mean := entry.mean(name, target, "auc")) is not None
        ]
        return sum(found) / len(found) if found else None
