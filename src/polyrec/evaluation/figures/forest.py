"""Dots with whiskers: a named line each, or ranks where there are too many to name."""

from collections.abc import Sequence
from dataclasses import dataclass

from polyrec.evaluation.figures import svg
from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.figures.scale import Scale, tick_words, widened
from polyrec.evaluation.figures.wording import plural

MOST_NAMED = 20
_WIDTH, _ROW, _LEFT, _RIGHT = 380.0, 27.0, 134.0, 318.0
_TOP, _BOTTOM = 8.0, 190.0


@dataclass(frozen=True, slots=True)
class Line:
    """One value with its interval. `faint` lines rest on too little to set the range of the axis."""

    name: str
    value: float
    low: float | None
    high: float | None
    text: str  # the value as shown at the end of the line
    hint: str
    style: str = "plain"
    faint: bool = False

    @property
    def ends(self) -> list[float]:
        """Everything of it that the axis should show."""
        return [one for one in (self.low, self.value, self.high) if one is not None]


@dataclass(frozen=True, slots=True)
class Forest:
    """Lines of one picture, first those set apart; `mark` is a value with a dashed line and its words."""

    title: str
    lines: Sequence[Line]
    totals: Sequence[Line] = ()
    mark: tuple[float, str] | None = None
    least: float = 0.02  # the axis is never narrower

    def drawn(self) -> Markup:
        """The picture: named lines, or ranks beyond `MOST_NAMED`."""
        return self._ranked() if len(self.lines) > MOST_NAMED else self._named()

    def _axis(self, lines: Sequence[Line], start: float, end: float) -> Scale:
        solid = [line for line in lines if not line.faint] or lines
        ends = [value for line in solid for value in line.ends]
        if self.mark:
            ends.append(self.mark[0])
        return Scale(*widened(ends, least=self.least), start, end)

    def _named(self) -> Markup:
        rows = [*self.totals, *self.lines]
        across = self._axis(rows, _LEFT, _RIGHT)
        gap = 10.0 if self.totals and self.lines else 0.0
        bottom = _ROW * len(rows) + gap
        marks = [_grid_down(across, bottom)]
        if self.mark:
            x = across(self.mark[0])
            marks.append(svg.line((x, 0), (x, bottom), "dash"))
        for place, line in enumerate(rows):
            total = place < len(self.totals)
            at = _ROW * (place + 0.5) + (0.0 if total else gap)
            marks.append(_named_line(line, across, at, total=total))
        about = ", ".join(f"{line.name} {line.text}" for line in rows)
        return svg.drawing(_WIDTH, bottom + 24, self.title, f"{about}.", *marks)

    def _ranked(self) -> Markup:
        lines = [line for line in self.lines if not line.faint] or list(self.lines)
        up = self._axis(lines, _BOTTOM, _TOP)
        along = Scale(0, max(len(lines) - 1, 1), 52, _WIDTH - 6)
        marks = [_grid_across(up, 44, _WIDTH)]
        for place, line in enumerate(lines):
            x = along(place)
            if line.low is not None and line.high is not None:
                marks.append(svg.line((x, up(line.low)), (x, up(line.high)), f"whisker thin {line.style}"))
            marks.append(svg.dot((x, up(line.value)), 2.2, f"dot tiny {line.style}", line.hint))
        if self.mark:
            y = up(self.mark[0])
            marks.append(svg.line((44, y), (_WIDTH, y), "dash"))
            marks.append(svg.label(_WIDTH, y - 5, self.mark[1], anchor="end", style="soft"))
        first, last = lines[0].name, lines[-1].name
        marks.append(svg.label(44, _BOTTOM + 20, f"first: {svg.shortened(first, 130)}", style="soft"))
        marks.append(svg.label(_WIDTH, _BOTTOM + 20, f"last: {svg.shortened(last, 130)}", anchor="end", style="soft"))
        left_out = len(self.lines) - len(lines)
        if left_out:
            words = f"{plural(left_out, 'scenario')} too small to judge not drawn"
            marks.append(svg.label(44, _BOTTOM + 40, words, style="soft"))
        about = f"{plural(len(lines), 'scenario')} from the highest, {first}, to the lowest, {last}."
        return svg.drawing(_WIDTH, _BOTTOM + (46 if left_out else 26), self.title, about, *marks)


def _named_line(line: Line, across: Scale, at: float, *, total: bool) -> Markup:
    style = "total" if total else line.style
    spread = None
    if line.low is not None and line.high is not None:
        spread = svg.line((across(line.low), at), (across(line.high), at), f"whisker {style}")
    inside = across.low <= line.value <= across.high
    where = (across(line.value), at)
    mark = svg.dot(where, 5, f"dot {style}", line.hint) if inside else _beyond(line, across, at)
    name = svg.shortened(line.name, _LEFT - 10)
    shown = svg.label(0, at + 4, name, style="soft" if total else None)
    if name != line.name:
        shown = tag("g", tag("title", line.name), shown)
    return join(shown, spread, mark, svg.label(_WIDTH, at + 4, line.text, anchor="end", style="value"))


def _beyond(line: Line, across: Scale, at: float) -> Markup:
    """An arrow at the edge for a value outside the axis."""
    left = line.value < across.low
    tip, back = (across.start - 2, across.start + 8) if left else (across.end + 2, across.end - 8)
    corners = [(back, at - 5.5), (tip, at), (back, at + 5.5), (back, at - 5.5)]
    return svg.path(corners, f"dot {line.style}", line.hint)


def _grid_down(across: Scale, bottom: float) -> Markup:
    marks, ticks = [], across.ticks(4)
    for tick, words in zip(ticks, tick_words(ticks, least=2), strict=True):
        marks.append(svg.line((across(tick), 0), (across(tick), bottom), "grid"))
        marks.append(svg.label(across(tick), bottom + 16, words, anchor="middle", style="tick"))
    return join(*marks)


def _grid_across(up: Scale, left: float, right: float) -> Markup:
    marks, ticks = [], up.ticks(5)
    for tick, words in zip(ticks, tick_words(ticks, least=2), strict=True):
        marks.append(svg.line((left, up(tick)), (right, up(tick)), "grid"))
        marks.append(svg.label(left - 6, up(tick) + 4, words, anchor="end", style="tick"))
    return join(*marks)
