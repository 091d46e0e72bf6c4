"""Differences between two models: dots with intervals around zero, and a table shaded by gain and loss."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyrec.evaluation.figures.forest import Forest, Line
from polyrec.evaluation.figures.markup import Markup, scrolled, tag
from polyrec.evaluation.figures.palette import step
from polyrec.evaluation.figures.wording import (
    LOWER_IS_BETTER,
    MACRO,
    POOLED,
    count,
    finite,
    reading,
    scenario,
    space,
    title,
)
from polyrec.schema import ALL, Target

STYLES = {"gained": "c0", "lost": "c1"}


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of one cell under both models, and what is said of the difference."""

    scenario: str
    target: Target
    metric: str
    before: float | None
    after: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: str
    n: int
    positives: int
    note: str | None

    @property
    def cell(self) -> str:
        """The cell in words."""
        task = self.target.task if self.target.space == ALL else f"{self.target.task} {space(self.target)}"
        where = {POOLED: "over all rows", MACRO: "in the mean of scenarios"}.get(self.scenario, f"in {self.scenario}")
        return f"{task} {where}"

    @property
    def words(self) -> str:
        """Everything known of it in one line."""
        if self.difference is None:
            return f"{self.cell}: {self.note or 'undefined'}"
        values = f"{reading(self.metric, self.before)} to {reading(self.metric, self.after)}"
        bounds = f", interval {signed(self.low)} to {signed(self.high)}" if self.low is not None else ""
        more = f" · {self.note}" if self.note else ""
        support = f"{count(self.positives)} of {count(self.n)} positive"
        return f"{self.cell}: {signed(self.difference)}{bounds} ({values}) · {self.verdict} · {support}{more}"

    @property
    def gain(self) -> float:
        """The difference, positive where it is for the better."""
        return (self.difference or 0.0) * (-1 if self.metric in LOWER_IS_BETTER else 1)


def read_changes(rows: Iterable[Mapping[str, Any]]) -> list[Change]:
    """The `differences` of a comparison."""
    return [
        Change(
            scenario=str(row["scenario"]),
            target=Target(str(row["task"]), str(row.get("space") or ALL)),
            metric=str(row["metric"]),
            before=finite(row.get("baseline")),
            after=finite(row.get("other")),
            difference=finite(row.get("difference")),
            low=finite(row.get("low")),
            high=finite(row.get("high")),
            verdict=str(row.get("verdict") or "undefined"),
            n=int(finite(row.get("n")) or 0),
            positives=int(finite(row.get("positives")) or 0),
            note=None if row.get("note") is None else str(row["note"]),
        )
        for row in rows
    ]


def signed(value: float | None) -> str:
    """A difference with its sign.

    Example:
        >>> signed(0.0123), signed(-0.5), signed(None)
        ('+0.0123', '−0.5000', '–')
    """
    return "–" if value is None else f"{round(value, 4) + 0.0:+.4f}".replace("-", "−")


def change_dots(changes: Sequence[Change], target: Target, metric: str) -> Markup | None:
    """One target's scenarios, the largest gain first; blue gained, orange lost, grey cannot be told."""
    found = [one for one in changes if one.target == target and one.metric == metric and one.difference is not None]
    lines = sorted((one for one in found if one.scenario not in (POOLED, MACRO)), key=lambda one: -one.gain)
    totals = sorted((one for one in found if one.scenario in (POOLED, MACRO)), key=lambda one: one.scenario == MACRO)
    if not found:
        return None
    picture = Forest(
        f"Difference in {title(metric)} of {target.task}, {space(target)}",
        [_line(one) for one in lines],
        [_line(one) for one in totals],
        (0.0, "no difference"),
        least=0.002,
    )
    return picture.drawn()


def _line(one: Change) -> Line:
    name = {POOLED: "all rows pooled", MACRO: "mean"}.get(one.scenario, one.scenario)
    style = STYLES.get(one.verdict, "neutral")
    return Line(name, one.difference or 0.0, one.low, one.high, signed(one.difference), one.words, style)


def change_table(changes: Sequence[Change], metric: str) -> Markup:
    """Scenarios by targets, shaded by how much was gained (blue) or lost (orange); pale where it cannot be told."""
    rows = [one for one in changes if one.metric == metric]
    targets = list(dict.fromkeys(one.target for one in rows))
    by_cell = {(one.scenario, one.target): one for one in rows}
    names = list(dict.fromkeys(one.scenario for one in rows))
    totals = [name for name in (POOLED, MACRO) if name in names]
    most = max((abs(one.gain) for one in rows if one.verdict in STYLES), default=0.0)
    heads = [tag("th", one.task, tag("small", space(one)), scope="col") for one in targets]
    lines = {}
    for name in names:
        cells = [_cell(by_cell.get((name, one)), most) for one in targets]
        lines[name] = tag("tr", tag("th", scenario(name), scope="row"), *cells)
    caption = f"Differences in {title(metric)}"
    table = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("col"),
        tag("thead", tag("tr", tag("th", "Scenario", scope="col"), *heads)),
        tag("tbody", *(lines[name] for name in totals), class_="totals") if totals else None,
        tag("tbody", *(line for name, line in lines.items() if name not in totals)),
        class_="heat changes dense" if len(names) > 40 else "heat changes",
        data_grid=True,
        style=f"--columns:{len(targets)}",
    )
    return scrolled(table, caption, tall=len(names) > 16)


def _cell(one: Change | None, most: float) -> Markup:
    if one is None:
        return tag("td", "", class_="none")
    if one.difference is None:
        return tag("td", tag("b", "–"), tag("small", one.note or "undefined"), class_="hatch", title=one.words)
    told = one.verdict in STYLES
    style = f"d{step(0.5 - 0.5 * one.gain / most)}" if told and most else "pale"
    bounds = "" if one.low is None else f"{signed(one.low)} to {signed(one.high)}"
    return tag(
        "td", tag("b", signed(one.difference)), tag("small", bounds or one.verdict), class_=style, title=one.words
    )
