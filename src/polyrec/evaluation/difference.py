"""Differences between two models on the same rows, with what is said of each."""

from dataclasses import dataclass
from typing import Literal

from polyrec.schema import ALL

Verdict = Literal["gained", "lost", "cannot be told", "undefined"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of one cell, other minus baseline, each the mean over its runs.

    `low` and `high` hold the true difference in 95 of 100 such cells. `p` is that of no difference; `adjusted` is
    it after Holm's correction for all cells of the metric, and the verdict goes by `adjusted`: so a cell whose own
    interval just leaves out 0 may still be one that cannot be told. `gained` is better, whichever sign that has.
    """

    scenario: str
    task: str
    space: str
    metric: str
    baseline: float | None
    other: float | None
    difference: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted: float | None = None
    verdict: Verdict = "undefined"
    n: int = 0
    positives: int = 0
    note: str | None = None

    @property
    def cell(self) -> str:
        """The cell in words.

        Example:
            >>> Difference("home", "buy", "click", "auc", 0.7, 0.7, 0.0).cell
            'buy given click in home'
        """
        task = self.task if self.space == ALL else f"{self.task} given {self.space}"
        where = {"*": "over all rows", "macro": "in the mean of scenarios"}.get(self.scenario, f"in {self.scenario}")
        return f"{task} {where}"


def holm(values: list[float]) -> list[float]:
    """p-values that allow for their number (Holm 1979), however they depend on each other.

    Sorted, the smallest of k is multiplied by k, the next by k - 1, ...; none may fall below one before it.
    With a bar of 0.05, the chance that any cell without a difference passes is at most 0.05.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, floor = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        floor = max(floor, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = floor
    return adjusted
