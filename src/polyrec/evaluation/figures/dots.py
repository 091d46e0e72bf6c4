"""Values of a report's cells with their intervals."""

from polyrec.evaluation.figures.cells import Cells, Reading
from polyrec.evaluation.figures.forest import Forest, Line
from polyrec.evaluation.figures.markup import Markup
from polyrec.evaluation.figures.wording import MACRO, POOLED, reading, space, title
from polyrec.schema import Target


def whiskers(cells: Cells, target: Target, metric: str = "auc") -> Markup | None:
    """One target's scenarios, best first, with their intervals; a dashed line marks all rows pooled."""
    known = cells.known(target, metric)
    if not known:
        return None
    names = {POOLED: "all rows pooled", MACRO: "mean"}
    found = {name: cells.get(name, target, metric) for name in cells.totals}
    totals = [_line(names[name], one, "total") for name, one in found.items() if one and one.value is not None]
    pooled = cells.value(POOLED, target, metric) if POOLED in cells.totals else None
    mark = None if pooled is None else (pooled, f"pooled {reading(metric, pooled)}")
    lines = [_line(name, one, "few" if one.few else "plain") for name, one in known]
    return Forest(f"{title(metric)} of {target.task}, {space(target)}", lines, totals, mark).drawn()


def _line(name: str, one: Reading, style: str) -> Line:
    value = one.value or 0.0
    shown = reading(one.metric, value)
    return Line(name, value, one.low, one.high, shown, f"{name}: {one.words}", style, faint=one.few)
