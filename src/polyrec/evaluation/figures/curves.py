"""Training curves from a run's events: losses by term, the validation score, the balancer's weights."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyrec.evaluation.figures import svg
from polyrec.evaluation.figures.markup import Markup, join
from polyrec.evaluation.figures.scale import Scale, tick_words, widened
from polyrec.evaluation.figures.wording import LOWER_IS_BETTER, finite, short, title

_WIDTH, _LEFT, _TOP, _BOTTOM = 380.0, 52.0, 12.0, 172.0
_MOST_POINTS = 160


@dataclass(frozen=True, slots=True)
class Series:
    """Values by step under one name."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def moves(self) -> bool:
        """Whether it is more than one constant."""
        values = [value for _, value in self.points]
        return max(values) - min(values) > 1e-9 * max(map(abs, values))


@dataclass(frozen=True, slots=True)
class History:
    """What the events of a run say. `epochs`: the steps at which an epoch or a stage began, but for the first."""

    losses: tuple[Series, ...]
    weights: tuple[Series, ...]
    scores: Series
    epochs: tuple[float, ...]


def history(events: Iterable[Mapping[str, Any]]) -> History:
    """The events as series; kinds and values that are not known here are passed over."""
    losses: dict[str, list[tuple[float, float]]] = {}
    weights: dict[str, list[tuple[float, float]]] = {}
    scores: list[tuple[float, float]] = []
    epochs: dict[Any, float] = {}
    metric = "score"
    for event in events:
        step = finite(event.get("total_step", event.get("step")))
        if step is None:
            continue
        if event.get("kind") == "step":
            if "epoch" in event:
                epochs.setdefault((event.get("stage"), event["epoch"]), step)
            _add(losses, event.get("losses"), step)
            _add(weights, event.get("weights"), step)
        elif event.get("kind") == "evaluation":
            metric = str(event.get("metric") or metric)
            score = finite(event.get("score"))
            if score is not None:
                scores.append((step, score))
    found = Series(metric, tuple(scores))
    return History(_series(losses), _series(weights), found, tuple(epochs.values())[1:])


def _add(into: dict[str, list[tuple[float, float]]], values: Any, step: float) -> None:
    if not isinstance(values, Mapping):
        return
    for name, value in values.items():
        number = finite(value)
        if number is not None:
            into.setdefault(str(name), []).append((step, number))


def _series(found: Mapping[str, Sequence[tuple[float, float]]]) -> tuple[Series, ...]:
    return tuple(Series(name, tuple(points)) for name, points in found.items())


def smoothed(
    points: Sequence[tuple[float, float]], most: int = _MOST_POINTS
) -> list[tuple[float, float, float, float]]:
    """(step, mean, least, most) of neighbouring points together, so that at most `most` remain.

    Example:
        >>> smoothed([(0, 1.0), (1, 3.0), (2, 5.0), (3, 7.0)], most=2)
        [(0.5, 2.0, 1.0, 3.0), (2.5, 6.0, 5.0, 7.0)]
    """
    size = max(1, -(-len(points) // most))
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    return [
        (
            sum(step for step, _ in group) / len(group),
            sum(value for _, value in group) / len(group),
            min(value for _, value in group),
            max(value for _, value in group),
        )
        for group in groups
    ]


def loss_curve(series: Series, epochs: Sequence[float] = ()) -> Markup:
    """One term's training loss: the mean of neighbouring steps, and their range behind it."""
    trend = smoothed(series.points, 60)
    across, up = _axes(series.points, [value for _, mean, low, high in trend for value in (mean, low, high)], log=True)
    marks = [_frame(across, up, epochs)]
    if len(series.points) > len(trend):
        upper = [(across(step), up(high)) for step, _, _, high in trend]
        lower = [(across(step), up(low)) for step, _, low, _ in trend]
        marks.append(svg.area(upper, lower, "band"))
    marks.append(svg.path([(across(step), up(mean)) for step, mean, _, _ in trend], "curve loss"))
    if len(trend) == 1:
        marks.append(svg.dot((across(trend[0][0]), up(trend[0][1])), 4, "dot loss"))
    first, last = trend[0][1], trend[-1][1]
    about = f"From {first:.4g} to {last:.4g} over {short(series.points[-1][0])} steps."
    return svg.drawing(_WIDTH, _BOTTOM + 40, f"Training loss, {series.name}", about, *marks)


def score_curve(series: Series, epochs: Sequence[float] = ()) -> Markup:
    """The validation score, its best evaluation marked: the lowest of a metric where lower is better."""
    across, up = _axes(series.points, [value for _, value in series.points], top=_TOP + 22)
    metric = title(series.name)
    best = (min if series.name in LOWER_IS_BETTER else max)(series.points, key=lambda point: point[1])
    points = [(across(step), up(value)) for step, value in series.points]
    marks = [_frame(across, up, epochs), svg.path(points, "curve score")]
    for (step, value), point in zip(series.points, points, strict=True):
        marks.append(svg.dot(point, 3, "dot score", f"step {step:,.0f}: {metric} {value:.4f}"))
    at = (across(best[0]), up(best[1]))
    marks.append(svg.dot(at, 7, "ring", f"best: {metric} {best[1]:.4f} at step {best[0]:,.0f}"))
    beside = min(max(at[0], _LEFT + 36), _WIDTH - 44)
    marks.append(svg.label(beside, at[1] - 13, f"best {best[1]:.4f}", anchor="middle", style="strong"))
    about = f"Best {best[1]:.4f} at step {best[0]:,.0f}; last {series.points[-1][1]:.4f}."
    return svg.drawing(_WIDTH, _BOTTOM + 40, f"Validation score ({metric})", about, *marks)


def weight_curves(series: Sequence[Series], epochs: Sequence[float] = ()) -> Markup:
    """The balancer's weight of every term, named at the end of its line."""
    points = [point for one in series for point in one.points]
    across, up = _axes(points, [value for _, value in points], right=_WIDTH - 78)
    marks = [_frame(across, up, epochs)]
    taken: list[float] = []
    for place, one in enumerate(series):
        trend = smoothed(one.points)
        marks.append(svg.path([(across(at), up(mean)) for at, mean, _, _ in trend], f"curve c{place % 6}", one.name))
        y = _free(up(trend[-1][1]) + 4, taken)
        marks.append(svg.label(_WIDTH - 72, y, svg.shortened(one.name, 72), style=f"name c{place % 6}"))
    about = "; ".join(f"{one.name} ends at {one.points[-1][1]:.3g}" for one in series)
    return svg.drawing(_WIDTH, _BOTTOM + 40, "Weights of the balancer", f"{about}.", *marks)


def _free(wanted: float, taken: list[float]) -> float:
    """The wanted height of a label, or the next one below that no label has."""
    while any(abs(wanted - other) < 14 for other in taken):
        wanted += 1
    taken.append(wanted)
    return wanted


def _axes(
    points: Sequence[tuple[float, float]],
    values: Sequence[float],
    *,
    right: float = _WIDTH - 8,
    top: float = _TOP,
    log: bool = False,
) -> tuple[Scale, Scale]:
    """Steps across, values up; with `log`, a logarithmic axis for positive values that fall by more than half."""
    across = Scale(0.0, max(step for step, _ in points), _LEFT, right)
    if log and min(values) > 0 and max(values) > 2 * min(values):
        return across, Scale(min(values) / 1.08, max(values) * 1.08, _BOTTOM, top, log=True)
    return across, Scale(*widened(values, least=1e-4), _BOTTOM, top)


def _frame(across: Scale, up: Scale, epochs: Sequence[float]) -> Markup:
    marks = []
    ticks = up.ticks(4)
    for tick, words in zip(ticks, [f"{tick:g}" for tick in ticks] if up.log else tick_words(ticks), strict=True):
        marks.append(svg.line((across.start, up(tick)), (across.end, up(tick)), "grid"))
        marks.append(svg.label(across.start - 6, up(tick) + 4, words, anchor="end", style="tick"))
    for step in epochs:
        marks.append(svg.line((across(step), _TOP), (across(step), _BOTTOM), "epoch"))
    for tick in across.ticks(4):
        marks.append(svg.label(across(tick), _BOTTOM + 16, short(tick), anchor="middle", style="tick"))
    marks.append(svg.label((across.start + across.end) / 2, _BOTTOM + 34, "steps", anchor="middle", style="soft"))
    return join(*marks)
