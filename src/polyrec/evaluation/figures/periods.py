"""A metric period after period: all rows with their interval, each scenario behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyrec.evaluation.figures import svg
from polyrec.evaluation.figures.markup import Markup
from polyrec.evaluation.figures.scale import Scale, tick_words, widened
from polyrec.evaluation.figures.wording import title

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 640.0, 52.0, 120.0, 14.0, 220.0
_NAMED = 6  # scenarios with a line of their own colour and name


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a period, with its interval where one is known."""

    period: int
    value: float
    low: float | None = None
    high: float | None = None


def period_lines(
    metric: str,
    pooled: Sequence[Point],
    scenarios: Mapping[str, Sequence[Point]],
    flagged: Sequence[int] = (),
    *,
    main: str = "all rows",
    when: str = "before training on each period",
    names: Sequence[str] = (),
) -> Markup:
    """The picture.

    Args:
        metric: what is shown.
        pooled: the line in front.
        scenarios: those behind it, by name.
        flagged: periods that the guards had doubts about, which are ringed.
        main: name of the line in front.
        when: on which rows, for a screen reader.
        names: of the periods, numbered from 0, below the axis; the numbers without.
    """
    every = [*pooled, *(one for points in scenarios.values() for one in points)]
    bounds = [value for one in pooled for value in (one.low, one.high) if value is not None]
    last = max(one.period for one in every)
    across = Scale(min(one.period for one in every), max(last, 1), _LEFT, _WIDTH - _RIGHT)
    up = Scale(*widened([*(one.value for one in every), *bounds], least=0.01), _BOTTOM, _TOP)
    marks = list(_grid(across, up, names))
    with_bounds = [one for one in pooled if one.low is not None and one.high is not None]
    if len(with_bounds) > 1:
        upper = [(across(one.period), up(one.high or 0.0)) for one in with_bounds]
        lower = [(across(one.period), up(one.low or 0.0)) for one in with_bounds]
        marks.append(svg.area(upper, lower, "band"))
    ends = [(up(pooled[-1].value), main, "strong")] if pooled else []
    for place, (name, points) in enumerate(scenarios.items()):
        style = f"c{place}" if place < _NAMED else "neutral"
        marks.append(svg.path([(across(one.period), up(one.value)) for one in points], f"curve {style}", name))
        marks += [_dot(across, up, one, f"dot {style}", name, 2.0) for one in points]
        if place < _NAMED and points:
            ends.append((up(points[-1].value), name, style))
    marks.append(svg.path([(across(one.period), up(one.value)) for one in pooled], "curve pooled", main))
    marks += [_dot(across, up, one, "dot", main, 3.0) for one in pooled]
    marks += [
        svg.dot((across(one.period), up(one.value)), 7, "ring", "in doubt") for one in pooled if one.period in flagged
    ]
    taken: list[float] = []
    marks += [_name(name, y, style, taken) for y, name, style in sorted(ends)]
    told = f"From {pooled[0].value:.4f} to {pooled[-1].value:.4f}: {main}." if pooled else f"No value: {main}."
    return svg.drawing(_WIDTH, _BOTTOM + 40, f"{title(metric)} {when}", told, *marks)


def _grid(across: Scale, up: Scale, names: Sequence[str]) -> list[Markup]:
    marks = []
    ticks = up.ticks(5)
    for tick, words in zip(ticks, tick_words(ticks), strict=True):
        marks.append(svg.line((across.start, up(tick)), (across.end, up(tick)), "grid"))
        marks.append(svg.label(across.start - 6, up(tick) + 4, words, anchor="end", style="tick"))
    for tick in across.ticks(8):
        if abs(tick - round(tick)) < 1e-9 and (not names or 0 <= round(tick) < len(names)):
            words = names[round(tick)] if names else f"{tick:.0f}"
            marks.append(svg.label(across(tick), _BOTTOM + 16, words, anchor="middle", style="tick"))
    marks.append(svg.label((across.start + across.end) / 2, _BOTTOM + 34, "period", anchor="middle", style="soft"))
    return marks


def _dot(across: Scale, up: Scale, one: Point, style: str, name: str, radius: float) -> Markup:
    bounds = f" ({one.low:.4f} to {one.high:.4f})" if one.low is not None and one.high is not None else ""
    return svg.dot(
        (across(one.period), up(one.value)), radius, style, f"{name}, period {one.period}: {one.value:.4f}{bounds}"
    )


def _name(name: str, y: float, style: str, taken: list[float]) -> Markup:
    """A label at the end of a line, moved down where another stands."""
    y += 4
    while any(abs(y - other) < 14 for other in taken):
        y += 1
    taken.append(y)
    return svg.label(_WIDTH - _RIGHT + 8, y, svg.shortened(name, _RIGHT - 8), style=f"name {style}")
