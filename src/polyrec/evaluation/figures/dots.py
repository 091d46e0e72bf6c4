"""Values with their intervals: a dot and whisker a scenario, or ranks where there are too many to name."""

from collections.abc import Sequence

from polyrec.evaluation.figures import svg
from polyrec.evaluation.figures.cells import Cells, Reading
from polyrec.evaluation.figures.markup import Markup, join
from polyrec.evaluation.figures.scale import Scale, widened
from polyrec.evaluation.figures.wording import MACRO, POOLED, plural, reading, space, title
from polyrec.schema import Target

MOST_NAMED = 20
FEW = 50  # positives, or negatives, below which a reading says little
_WIDTH, _ROW, _LEFT, _RIGHT = 380.0, 27.0, 134.0, 322.0


def few(one: Reading) -> bool:
    """Whether a reading rests on too few rows of either kind to be judged."""
    return (one.positives is not None and one.positives < FEW) or (one.negatives is not None and one.negatives < FEW)


def whiskers(cells: Cells, target: Target, metric: str = "auc") -> Markup | None:
    """One target's scenarios, best first, with their intervals; a dashed line marks all rows pooled."""
    known = cells.known(target, metric)
    if not known:
        return None
    pooled = cells.get(POOLED, target, metric)
    if len(known) > MOST_NAMED:
        return _ranks(known, pooled, target, metric)
    totals = [(name, one) for name in (POOLED, MACRO) if (one := cells.get(name, target, metric)) and one.value]
    return _named(totals, known, target, metric)


def _axis(readings: Sequence[Reading], start: float, end: float) -> Scale:
    ends = [one for each in readings for one in (each.low, each.value, each.high) if one is not None]
    return Scale(*widened(ends, least=0.02), start, end)


def _named(
    totals: Sequence[tuple[str, Reading]], known: Sequence[tuple[str, Reading]], target: Target, metric: str
) -> Markup:
    rows = [*totals, *known]
    across = _axis([one for _, one in rows], _LEFT, _RIGHT)
    gap = 10.0 if totals else 0.0
    bottom = _ROW * len(rows) + gap
    marks = [_grid(across, bottom, metric)]
    pooled = totals[0][1].value if totals and totals[0][0] == POOLED else None
    if pooled is not None:
        marks.append(svg.line((across(pooled), 0), (across(pooled), bottom), "dash"))
    for place, (name, one) in enumerate(rows):
        at = _ROW * (place + 0.5) + (gap if place >= len(totals) else 0.0)
        marks.append(_mark(name, one, across, at, total=place < len(totals)))
    names = ", ".join(f"{name} {reading(metric, one.value)}" for name, one in known)
    return svg.drawing(_WIDTH, bottom + 24, _title(target, metric), f"Best first: {names}.", *marks)


def _mark(name: str, one: Reading, across: Scale, at: float, *, total: bool) -> Markup:
    words = {POOLED: "all rows pooled", MACRO: "mean"}.get(name, name)
    style = "total" if total else ("few" if few(one) else "plain")
    hint = f"{words}: {one.words}"
    value = one.value or 0.0
    spread = None
    if one.low is not None and one.high is not None:
        spread = svg.line((across(one.low), at), (across(one.high), at), f"whisker {style}")
    return join(
        svg.label(0, at + 4, svg.shortened(words, _LEFT - 12), style="soft" if total else None),
        spread,
        svg.dot((across(value), at), 5, f"dot {style}", hint),
        svg.label(_WIDTH, at + 4, reading(one.metric, value), anchor="end", style="value"),
    )


def _ranks(known: Sequence[tuple[str, Reading]], pooled: Reading | None, target: Target, metric: str) -> Markup:
    top, bottom, left = 8.0, 190.0, 44.0
    up = _axis([one for _, one in known], bottom, top)
    along = Scale(0, len(known) - 1, left + 6, _WIDTH - 6)
    marks = [_side(up, left, _WIDTH, metric)]
    if pooled is not None and pooled.value is not None:
        at = up(pooled.value)
        marks.append(svg.line((left, at), (_WIDTH, at), "dash"))
        marks.append(svg.label(_WIDTH, at - 4, f"pooled {reading(metric, pooled.value)}", anchor="end", style="soft"))
    for place, (name, one) in enumerate(known):
        x, style = along(place), "few" if few(one) else "plain"
        if one.low is not None and one.high is not None:
            marks.append(svg.line((x, up(one.low)), (x, up(one.high)), f"whisker thin {style}"))
        marks.append(svg.dot((x, up(one.value or 0.0)), 2.5, f"dot {style}", f"{name}: {one.words}"))
    marks.append(svg.label(left, bottom + 18, f"best: {svg.shortened(known[0][0], 120)}", style="soft"))
    marks.append(
        svg.label(_WIDTH, bottom + 18, f"worst: {svg.shortened(known[-1][0], 120)}", anchor="end", style="soft")
    )
    about = f"{plural(len(known), 'scenario')} from best ({known[0][0]}) to worst ({known[-1][0]})."
    return svg.drawing(_WIDTH, bottom + 26, _title(target, metric), about, *marks)


def _grid(across: Scale, bottom: float, metric: str) -> Markup:
    marks = []
    for tick in across.ticks(4):
        x = across(tick)
        marks.append(svg.line((x, 0), (x, bottom), "grid"))
        marks.append(svg.label(x, bottom + 16, _short(tick), anchor="middle", style="tick"))
    return join(*marks)


def _side(up: Scale, left: float, right: float, metric: str) -> Markup:
    marks = []
    for tick in up.ticks(5):
        y = up(tick)
        marks.append(svg.line((left, y), (right, y), "grid"))
        marks.append(svg.label(left - 6, y + 4, _short(tick), anchor="end", style="tick"))
    return join(*marks)


def _short(value: float) -> str:
    return f"{value:.3f}".rstrip("0").ljust(4, "0") if abs(value) < 10 else f"{value:g}"


def _title(target: Target, metric: str) -> str:
    return f"{title(metric)} of {target.task}, {space(target)}"
