"""What a comparison says: in sentences, as a table, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from polyrec.evaluation.difference import Difference, Verdict
from polyrec.evaluation.groups import MACRO, POOLED
from polyrec.evaluation.text import aligned, number, signed
from polyrec.schema import Target

LONE = (
    "One run each, so the spread between seeds is unknown: verdicts are of these two trained models, not of recipes, "
    "and two seeds of one recipe may differ as much. Fit each with several seeds, and name all folders."
)
_NAMES = {"auc": "AUC", "log_loss": "log-loss"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences of every cell between two models, each the mean over its runs."""

    baseline: str
    other: str
    differences: tuple[Difference, ...]
    runs: tuple[int, int]  # of the baseline, of the other
    n: int
    level: float

    def get(self, scenario: str, target: Target, metric: str = "auc") -> Difference | None:
        """One cell's difference, or None where there is no such cell."""
        wanted = (scenario, target.task, target.space, metric)
        return next(
            (one for one in self.differences if (one.scenario, one.task, one.space, one.metric) == wanted), None
        )

    def cells(self, metric: str = "auc", verdict: Verdict | None = None) -> tuple[Difference, ...]:
        """Differences of named scenarios (neither pooled nor mean), those with this verdict where one is given."""
        return tuple(
            one
            for one in self.differences
            if one.metric == metric
            and one.scenario not in (POOLED, MACRO)
            and (verdict is None or one.verdict == verdict)
        )

    def sentences(self, metric: str = "auc", most: int = 8) -> tuple[str, ...]:
        """Which cells gained, lost, cannot be told, and how sure that is."""
        cells = self.cells(metric)
        many = f"{len(cells)} cell" if len(cells) == 1 else f"{len(cells)} cells"
        said = [
            f"{self.other} ({_runs(self.runs[1])}) against {self.baseline} ({_runs(self.runs[0])}) on {self.n:,} rows: "
            f"{_NAMES.get(metric, metric)} of {many}."
        ]
        if max(self.runs) < 2:
            said.append(LONE)
        for verdict, words in _WORDS.items():
            found = self.cells(metric, verdict)
            if found:
                order = sorted(found, key=lambda one: -abs(one.difference or 0.0))
                said.append(f"{words} in {len(found)} of {len(cells)}: {_list(order, most)}.")
        for one in self.differences:
            if one.metric == metric and one.scenario in (POOLED, MACRO) and one.difference is not None:
                said.append(f"{_upper(one.cell)}: {_change(one)}, {_SUMMARY[one.verdict]}.")
        return (*said, self.caveat if max(self.runs) > 1 else self._covered)

    @property
    def caveat(self) -> str:
        """What the intervals hold and what they do not."""
        lone = max(self.runs) < 2
        return f"{self._covered} {LONE}" if lone else f"{self._covered} The spread between runs is in them."

    @property
    def _covered(self) -> str:
        share = f"{100 * self.level:g} %"
        return f"Intervals hold {share} each, over new users; verdicts allow for the number of cells (Holm)."

    def table(self, metric: str = "auc") -> str:
        """Every cell's difference as plain text."""
        lines = [
            [one.cell, number(metric, one.baseline), number(metric, one.other), signed(one.difference), _bounds(one),
             one.verdict if one.note is None else f"{one.verdict} ({one.note})"]
            for one in self.differences
            if one.metric == metric
        ]  # fmt: skip
        return aligned([metric, self.baseline, self.other, "difference", f"{100 * self.level:g} % interval", ""], lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "differences": [asdict(one) for one in self.differences], "caveat": self.caveat}


def sentences(comparison: Comparison, metric: str = "auc") -> tuple[str, ...]:
    """Which cells gained, lost, cannot be told: see `Comparison.sentences`."""
    return comparison.sentences(metric)


_WORDS: Mapping[Verdict, str] = {
    "gained": "Gained",
    "lost": "Lost (negative transfer)",
    "cannot be told": "Cannot be told",
    "undefined": "Undefined",
}
_SUMMARY: Mapping[Verdict, str] = {
    "gained": "a gain",
    "lost": "a loss",
    "cannot be told": "which cannot be told from none",
    "undefined": "undefined",
}


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _list(found: Sequence[Difference], most: int) -> str:
    shown = [f"{one.cell} ({_change(one)})" for one in found[:most]]
    return ", ".join(shown) + (f" and {len(found) - most} more" if len(found) > most else "")


def _change(one: Difference) -> str:
    if one.difference is None:
        return one.note or "undefined"
    bounds = _bounds(one)
    return f"{signed(one.difference)}, {bounds}" if bounds else f"{signed(one.difference)}, {one.note}"


def _bounds(one: Difference) -> str:
    return "" if one.low is None or one.high is None else f"{signed(one.low)} to {signed(one.high)}"
