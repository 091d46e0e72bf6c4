"""What a suite's results say: means over seeds, differences from the baseline, ranks, costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from polyrec.bench.cell import Cell
from polyrec.bench.described import described
from polyrec.bench.results import Line, Results
from polyrec.bench.suite import Contender, Suite
from polyrec.errors import DataError
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.compare import compare
from polyrec.evaluation.difference import Difference, Verdict, holm
from polyrec.evaluation.groups import MACRO, POOLED
from polyrec.schema import Target

PLACES = (MACRO, POOLED)
BAR = 0.05


@dataclass(frozen=True, slots=True)
class Entry:
    """One contender on one data set: the lines of its finished seeds, or why there are none."""

    contender: Contender
    lines: tuple[Line, ...]
    trials: int
    failures: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()  # from the baseline: AUC over all rows and in the mean of scenarios
    note: str = ""

    def values(self, target: Target, scenario: str, metric: str = "auc") -> list[float]:
        """A metric of each seed, where it is defined."""
        wanted = (scenario, target.task, target.space, metric)
        return [
            one["value"]
            for line in self.lines
            for one in line["metrics"]
            if (one["scenario"], one["task"], one["space"], one["metric"]) == wanted and one["value"] is not None
        ]

    def mean(self, target: Target, scenario: str, metric: str = "auc") -> float | None:
        """Its mean over seeds."""
        found = self.values(target, scenario, metric)
        return mean(found) if found else None

    def cost(self, key: str) -> float | None:
        """The mean of what a run cost, over the seeds of which it is known."""
        known = [line[key] for line in self.lines if line[key] is not None]
        return float(mean(known)) if known else None

    def difference(self, target: Target, scenario: str) -> Difference | None:
        """From the baseline."""
        wanted = (scenario, target.task, target.space)
        return next((one for one in self.differences if (one.scenario, one.task, one.space) == wanted), None)


@dataclass(frozen=True, slots=True)
class Table:
    """The entries of one data set, the baseline first, then by their mean AUC."""

    data: str
    entries: tuple[Entry, ...]
    targets: tuple[Target, ...]
    looks: int  # at differences, for which p-values are corrected
    about: str = ""  # the data

    @property
    def finished(self) -> tuple[Entry, ...]:
        """Those with every seed."""
        return tuple(one for one in self.entries if one.lines and not one.failures)


@dataclass(frozen=True, slots=True)
class Board:
    """A suite's tables, and the average rank of those that have been finished everywhere."""

    suite: Suite
    tables: tuple[Table, ...]

    @property
    def ranks(self) -> dict[str, tuple[float, int]]:
        """Average rank by mean AUC over (data set, target), and over how many; equal means share their ranks.

        Contenders that lack a finished data set are left out, so that all are ranked in the same company.
        """
        tables = [one for one in self.tables if one.finished]
        everywhere = [{one.contender.name for one in table.finished} for table in tables]
        names = set.intersection(*everywhere) if everywhere else set()
        found: dict[str, list[float]] = {name: [] for name in names}
        for table in tables:
            for target in table.targets:
                means = {one.contender.name: one.mean(target, MACRO) for one in table.finished}
                known = {name: value for name, value in means.items() if name in names and value is not None}
                for name, rank in _ranked(known).items():
                    found[name].append(rank)
        order = sorted((mean(ranks), len(ranks), name) for name, ranks in found.items() if ranks)
        return {name: (rank, count) for rank, count, name in order}


def board(suite: Suite, out: Path, results: Results | None = None) -> Board:
    """Read results.jsonl, or take these of it, and the predictions beside it."""
    results = Results(out / "results.jsonl") if results is None else results
    return Board(suite, tuple(_table(suite, one.name, results, out) for one in suite.data))


def _table(suite: Suite, data: str, results: Results, out: Path) -> Table:
    entries = [_entry(suite, data, one, results) for one in suite.all]
    base = entries[0]
    if base.lines:
        pairs = _Pairs(out, base)
        entries = [base, *(pairs.compared(one) for one in entries[1:])]
    entries, looks = _corrected(entries)
    lines = [line for one in entries for line in one.lines]
    targets = tuple(dict.fromkeys(Target(one["task"], one["space"]) for line in lines for one in line["metrics"]))
    order = sorted(entries[1:], key=lambda one: -_overall(one, targets))
    return Table(data, (entries[0], *order), targets, looks, described(lines[0], out) if lines else "")


def _entry(suite: Suite, data: str, one: Contender, results: Results) -> Entry:
    lines, failures = [], []
    for seed in suite.seeds:
        line = results.get(Cell(data, one.name, "seed", seed).key)
        if line is None:
            failures.append(f"seed {seed} has not run")
        elif line["status"] == "done":
            lines.append(line)
        else:
            failures.append(f"seed {seed} failed: {line['error'].splitlines()[0]}")
    trials = [results.get(Cell(data, one.name, "trial", number).key) for number in range(suite.trials)]
    done = sum(line is not None and line["status"] == "done" for line in trials)
    return Entry(one, tuple(lines), done if suite.trials > 1 else 1, tuple(failures))


class _Pairs:
    """The baseline's predictions, read once, and comparisons with them."""

    def __init__(self, out: Path, base: Entry) -> None:
        self.out, self.name = out, base.contender.name
        self.first = self._read(base)

    def compared(self, one: Entry) -> Entry:
        if not one.lines:
            return one
        try:
            found = compare(self.first, self._read(one), names=(self.name, one.contender.name))
        except DataError as reason:
            return replace(one, note=str(reason))
        kept = [each for each in found.differences if each.metric == "auc" and each.scenario in PLACES]
        return replace(one, differences=tuple(kept))

    def _read(self, one: Entry) -> list[Collected]:
        return [Collected.load(self.out / "runs" / line["cell"] / "test.parquet") for line in one.lines]


def _corrected(entries: Sequence[Entry]) -> tuple[list[Entry], int]:
    """p-values that allow for every difference of the table: contenders x targets x places."""
    known = [one.p for entry in entries for one in entry.differences if one.p is not None]
    adjusted = iter(holm(known))
    return [
        replace(entry, differences=tuple(_judged(one, adjusted) for one in entry.differences)) for entry in entries
    ], len(known)


def _judged(one: Difference, adjusted: Any) -> Difference:
    if one.p is None:
        return one
    value = next(adjusted)
    told: Verdict = "gained" if (one.difference or 0.0) > 0 else "lost"
    return replace(one, adjusted=value, verdict=told if value <= BAR else "cannot be told")


def _overall(one: Entry, targets: Sequence[Target]) -> float:
    known = [value for target in targets if (value := one.mean(target, MACRO)) is not None]
    return mean(known) if known else float("-inf")


def _ranked(values: Mapping[str, float]) -> dict[str, float]:
    """1 for the highest; equal values share the mean of their places.

    Example:
        >>> _ranked({"a": 0.7, "b": 0.8, "c": 0.7})
        {'a': 2.5, 'b': 1.0, 'c': 2.5}
    """
    return {
        name: 1 + sum(other > value for other in values.values()) + (list(values.values()).count(value) - 1) / 2
        for name, value in values.items()
    }


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean ± standard deviation.

    Example:
        >>> spread([0.7, 0.72]), spread([0.7]), spread([])
        ('0.7100 ± 0.0141', '0.7000', '-')
    """
    if not values:
        return "-"
    shown = f"{mean(values):.{digits}f}"
    return shown if len(values) < 2 else f"{shown} ± {stdev(values):.{digits}f}"
