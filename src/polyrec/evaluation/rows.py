"""A line of a report."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one cell; `scenario` may also be `*` (all rows pooled) or `macro` (mean over scenarios).

    `n` counts the rows inside the cell, `positives` those with the label. An undefined value is None, with a note.
    """

    scenario: str
    task: str
    space: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    positives: int = 0
    note: str | None = None
