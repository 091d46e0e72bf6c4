"""Reliability curves: predicted against observed rates, with the diagonal of a calibrated model."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyrec.evaluation.figures import svg
from polyrec.evaluation.figures.markup import Markup, join
from polyrec.evaluation.figures.scale import Scale
from polyrec.evaluation.figures.wording import POOLED, count, finite, rate, space
from polyrec.schema import ALL, Target

MOST_CURVES = 5
_WIDTH, _LEFT, _TOP, _SIDE = 380.0, 56.0, 8.0, 312.0


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of similar prediction: their mean prediction, the share that happened, how many they are."""

    predicted: float
    observed: float
    n: int

    @property
    def spread(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the observed share."""
        z, n, share = 1.96, max(self.n, 1), self.observed
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        room = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(middle - room, 0.0), min(middle + room, 1.0)

    @property
    def words(self) -> str:
        """The bin in one line."""
        return f"predicted {rate(self.predicted)}, observed {rate(self.observed)}, {count(self.n)} rows"


Curves = Mapping[Target, Mapping[str, Sequence[Bin]]]


def read_curves(rows: Iterable[Mapping[str, Any]]) -> Curves:
    """The `reliability` of a report.json: curves by target and scenario, empty bins left out."""
    found: dict[Target, dict[str, list[Bin]]] = {}
    for row in rows:
        target = Target(str(row["task"]), str(row.get("space") or ALL))
        bins = [one for each in row.get("bins", ()) if (one := _bin(each)) is not None]
        if bins:
            found.setdefault(target, {})[str(row["scenario"])] = sorted(bins, key=lambda one: one.predicted)
    return found


def _bin(values: Mapping[str, Any]) -> Bin | None:
    predicted, observed = finite(values.get("predicted")), finite(values.get("observed"))
    n = finite(values.get("n"))
    if predicted is None or observed is None or not n:
        return None
    return Bin(predicted, observed, int(n))


def joined(bins: Sequence[Bin], least: int = 8) -> list[Bin]:
    """Neighbouring bins together until each holds `least` rows of either kind; a rest joins the last one.

    Example:
        >>> joined([Bin(0.1, 0.0, 10), Bin(0.3, 0.5, 10), Bin(0.5, 0.5, 10), Bin(0.6, 0.6, 100)], least=8)
        [Bin(predicted=0.3, observed=0.3333333333333333, n=30), Bin(predicted=0.6, observed=0.6, n=100)]
    """
    groups: list[list[Bin]] = [[]]
    for one in bins:
        if groups[-1] and _enough(groups[-1], least):
            groups.append([])
        groups[-1].append(one)
    if len(groups) > 1 and not _enough(groups[-1], least):
        rest = groups.pop()
        groups[-1] += rest
    return [_together(group) for group in groups if group]


def _enough(group: Sequence[Bin], least: int) -> bool:
    positives = sum(one.observed * one.n for one in group)
    return positives >= least - 1e-6 and sum(one.n for one in group) - positives >= least - 1e-6


def _together(group: Sequence[Bin]) -> Bin:
    n = sum(one.n for one in group)
    return Bin(sum(one.predicted * one.n for one in group) / n, sum(one.observed * one.n for one in group) / n, n)


def chosen(curves: Mapping[str, Sequence[Bin]]) -> list[str]:
    """Scenarios to draw in colour: those with the most rows, in the report's order."""
    size = {name: sum(one.n for one in bins) for name, bins in curves.items() if name != POOLED}
    most = set(sorted(size, key=lambda name: -size[name])[:MOST_CURVES])
    return [name for name in size if name in most]


def reliability(target: Target, curves: Mapping[str, Sequence[Bin]]) -> Markup:
    """One target: the pooled curve with intervals and dots sized by rows, scenarios thin behind it."""
    curves = {name: joined(bins) for name, bins in curves.items() if name in (POOLED, *chosen(curves))}
    everything = [one for bins in curves.values() for one in bins]
    both = _axes(everything)
    right, down = both
    names = [name for name in curves if name != POOLED]
    marks = [_frame(right, down)]
    for place, name in enumerate(names):
        marks.append(_curve(curves[name], both, f"c{place}", name, slim=POOLED in curves))
    if POOLED in curves:
        marks.append(_curve(curves[POOLED], both, "pooled", "all rows pooled", slim=False))
    bottom = _TOP + _SIDE
    marks.append(svg.label(_LEFT + _SIDE / 2, bottom + 34, "predicted", anchor="middle", style="soft"))
    marks.append(svg.label(_LEFT + 8, _TOP + 16, "observed", style="soft"))
    about = "Points above the diagonal happened more often than predicted, points below less often."
    return svg.drawing(_WIDTH, bottom + 42, f"Reliability of {target.task}, {space(target)}", about, *marks)


def _axes(bins: Sequence[Bin]) -> tuple[Scale, Scale]:
    values = [value for one in bins for value in (one.predicted, one.observed)]
    high = max(values)
    positive = [value for value in values if value > 0] or [1e-6]
    low = min(positive)
    if high < 0.25 or high / low > 100:
        ends = (10 ** (math.log10(max(low, high * 1e-5)) - 0.12), min(10 ** (math.log10(high) + 0.12), 1.0))
        log = True
    else:
        ends, log = (0.0, min(high * 1.06, 1.0)), False
    bottom = _TOP + _SIDE
    return Scale(*ends, _LEFT, _LEFT + _SIDE, log), Scale(*ends, bottom, _TOP, log)


def _frame(right: Scale, down: Scale) -> Markup:
    bottom = _TOP + _SIDE
    marks = []
    for tick in right.ticks(5):
        x, y = right(tick), down(tick)
        marks.append(svg.line((x, _TOP), (x, bottom), "grid"))
        marks.append(svg.line((_LEFT, y), (_LEFT + _SIDE, y), "grid"))
        marks.append(svg.label(x, bottom + 16, _percent(tick), anchor="middle", style="tick"))
        marks.append(svg.label(_LEFT - 6, y + 4, _percent(tick), anchor="end", style="tick"))
    marks.append(svg.line((_LEFT, bottom), (_LEFT + _SIDE, _TOP), "diagonal"))
    return join(*marks)


def _curve(bins: Sequence[Bin], both: tuple[Scale, Scale], style: str, name: str, *, slim: bool) -> Markup:
    right, down = both
    most = math.sqrt(max(one.n for one in bins))
    points = [(right(one.predicted), down(one.observed)) for one in bins]
    marks = [svg.path(points, f"curve {style}", name)]
    for one, point in zip(bins, points, strict=True):
        if not slim:
            low, high = one.spread
            marks.append(svg.line((point[0], down(low)), (point[0], down(high)), f"whisker thin {style}"))
        size = 2.2 if slim else 2.5 + 2 * math.sqrt(one.n) / most
        hollow = " hollow" if one.observed == 0 else ""
        marks.append(svg.dot(point, size, f"dot {style}{hollow}", f"{name}: {one.words}"))
    return join(*marks)


def _percent(value: float) -> str:
    return f"{100 * value:.6g}%"
