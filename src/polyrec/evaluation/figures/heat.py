"""Heat map of cells as a table: scenarios by targets, shaded within each column, readable as numbers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from polyrec.evaluation.figures.cells import FEW, Cells, Reading
from polyrec.evaluation.figures.markup import Markup, join, scrolled, tag
from polyrec.evaluation.figures.palette import STEPS, step
from polyrec.evaluation.figures.wording import LOWER_IS_BETTER, count, plural, reading, scenario, short, space, title
from polyrec.schema import Target

_LEAST_RANGE = {"auc": 0.1, "gauc": 0.1, "ne": 0.1}
_DENSE = 40  # scenarios beyond which a cell holds its value alone
Shade = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Shading:
    """How a metric's values become steps of a ramp within one column.

    The ramp runs from worst to best; a narrow range is not stretched over all of it, so noise stays pale.
    Predicted over observed is shaded around 1 by its logarithm: blue is too low, orange too high.
    """

    metric: str
    low: float
    high: float

    @classmethod
    def over(cls, metric: str, values: Sequence[float], *, tight: bool = False) -> "Shading":
        """Spanning these values; `tight` for models on the same rows, where small differences count."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        least = _LEAST_RANGE.get(metric, 0.2 * abs(low + high) / 2) * (0.1 if tight else 1.0)
        room = max(least - (high - low), 0.0) / 2
        return cls(metric, low - room, high + room)

    def __call__(self, value: float) -> str:
        """The class of a value."""
        if self.metric == "pcoc":
            off = math.log(value) / math.log(2.0) if value > 0 else -1.0
            return f"d{step(0.5 + off / 2)}"
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return f"s{step(1 - share if self.metric in LOWER_IS_BETTER else share)}"


def heat_map(cells: Cells, metric: str) -> Markup:
    """The table of one metric: the pooled and the mean rows set apart on top, then scenarios.

    More than a few scenarios are sorted, the one with the most rows first.
    """
    columns = [target for target in cells.targets if any(target == one for _, one, m in cells.by_key if m == metric)]
    shades = {target: Shading.over(metric, _values(cells, target, metric)) for target in columns}
    names = by_rows(cells)
    dense = len(names) > _DENSE
    totals = [_row(cells, name, columns, metric, None, dense=False) for name in cells.totals]
    body = [_row(cells, name, columns, metric, shades, dense=dense) for name in names]
    head = tag("tr", tag("th", "Scenario", scope="col"), *map(_heading, columns))
    caption = f"{title(metric)} of {plural(len(names), 'scenario')} and {plural(len(columns), 'target')}"
    table = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("col"),
        tag("thead", head),
        tag("tbody", *totals, class_="totals") if totals else None,
        tag("tbody", *body),
        class_="heat dense" if dense else "heat",
        data_grid=True,
        style=f"--columns:{len(columns)}",
    )
    frame = scrolled(table, caption, tall=len(names) > 16)
    return join(frame, legend(metric, hatched=bool(cells.undefined(metric)), small=cells.small(metric), dense=dense))


def by_rows(cells: Cells) -> list[str]:
    """Scenarios, most rows first; up to eight keep the report's own order."""
    if len(cells.scenarios) <= 8:
        return list(cells.scenarios)
    size = dict.fromkeys(cells.scenarios, 0)
    for (name, _, _), one in cells.by_key.items():
        if name in size:
            size[name] = max(size[name], one.n or 0)
    return sorted(cells.scenarios, key=lambda name: -size[name])


def legend(metric: str, *, hatched: bool, small: bool, dense: bool, of: str = "column") -> Markup:
    """What the shades mean, in words beside them."""
    letter = "d" if metric == "pcoc" else "s"
    steps = [tag("i", class_=f"{letter}{place}") for place in range(STEPS)]
    ends = ("½ ×, too low", "2 ×, too high") if metric == "pcoc" else ("worst", f"best of its {of}")
    words = [
        tag("span", ends[0], tag("span", *steps, class_="ramp", aria_hidden="true"), ends[1], class_="ends"),
        tag("span", _key("hatch"), "undefined, with the reason") if hatched else None,
        tag("span", _key("few"), f"fewer than {FEW} rows of one class") if small else None,
        None if dense else tag("span", "Small figures: positives of rows."),
    ]
    return tag("p", *words, class_="legend")


def _key(style: str) -> Markup:
    return tag("i", class_=f"key {style}", aria_hidden="true")


def _values(cells: Cells, target: Target, metric: str) -> list[float]:
    return [one.value for _, one in cells.judged(target, metric) if one.value is not None]


def _heading(target: Target) -> Markup:
    return tag("th", target.task, tag("small", space(target)), scope="col")


def _row(
    cells: Cells,
    name: str,
    columns: Sequence[Target],
    metric: str,
    shades: dict[Target, Shading] | None,
    *,
    dense: bool,
) -> Markup:
    found = [(cells.get(name, target, metric), shades[target] if shades else None) for target in columns]
    heading = tag("th", tag("span", scenario(name), title=name if len(name) > 18 else None), scope="row")
    return tag("tr", heading, *(_cell(one, shade, dense=dense) for one, shade in found))


def _cell(one: Reading | None, shade: Shade | None, *, dense: bool) -> Markup:
    if one is None:
        return tag("td", "", class_="none")
    if one.value is None:
        note = one.note or "undefined"
        return tag("td", tag("b", "–"), None if dense else tag("small", note), class_="hatch", title=one.support)
    support = None if dense or one.n is None or not one.n else tag("small", _support(one))
    style = " ".join(filter(None, [shade and shade(one.value), "few" if one.few else None]))
    return tag("td", tag("b", reading(one.metric, one.value)), support, class_=style or None, title=one.support)


def _support(one: Reading) -> str:
    if one.positives is None:
        return f"{short(one.n)} rows"
    return f"{count(one.positives)} of {short(one.n)}"
