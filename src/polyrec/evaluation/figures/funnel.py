"""The data funnel on a logarithmic axis, where the distance from one step to the next is the rate between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polyrec.evaluation.figures.cells import Cells
from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.figures.scale import Scale
from polyrec.evaluation.figures.wording import count, rate, short
from polyrec.schema import ALL

MOST_ROWS = 12


@dataclass(frozen=True, slots=True)
class Flow:
    """How many impressions of one scenario became what. `steps`: task -> (times, its parent or None)."""

    name: str
    rows: int
    steps: Mapping[str, tuple[int, str | None]]

    def base(self, task: str) -> int:
        """Rows in which the task could happen: those with its parent, or all."""
        parent = self.steps[task][1]
        return self.steps[parent][0] if parent is not None and parent in self.steps else self.rows

    def share(self, task: str) -> float | None:
        """Of the rows in which it could happen, in how many it did; None where there are none."""
        base = self.base(task)
        return self.steps[task][0] / base if base else None


def flows(cells: Cells) -> list[Flow]:
    """The funnel of every scenario, and of all of them together first, from the cells' own counts."""
    parents = {target.task: target.space for target in cells.targets if target.space != ALL}
    tasks = list(dict.fromkeys(target.task for target in cells.targets))
    found = [flow for name in cells.scenarios if (flow := _flow(cells, name, tasks, parents)) is not None]
    found.sort(key=lambda flow: -flow.rows)
    if len(found) < 2:
        return found
    steps = {
        task: (sum(flow.steps[task][0] for flow in found if task in flow.steps), parents.get(task)) for task in tasks
    }
    return [Flow("All scenarios", sum(flow.rows for flow in found), steps), *found]


def _flow(cells: Cells, name: str, tasks: Sequence[str], parents: Mapping[str, str]) -> Flow | None:
    rows, steps = 0, {}
    for target in cells.targets:
        found = [one for metric in cells.metrics if (one := cells.get(name, target, metric)) and one.n is not None]
        if found and target.space == ALL:
            rows = max(rows, found[0].n or 0)
        if found and found[0].positives is not None and (target.space == ALL or target.task not in steps):
            steps[target.task] = (found[0].positives, parents.get(target.task))
    ordered = {task: steps[task] for task in tasks if task in steps}
    return Flow(name, rows, ordered) if rows else None


def funnel(found: Sequence[Flow]) -> Markup:
    """A row a scenario: a track with a dot a step, and the counts and rates as text."""
    across = Scale(0.8, max(flow.rows for flow in found) * 1.15, 0, 100, log=True)
    shown, rest = found[: MOST_ROWS + 1], found[MOST_ROWS + 1 :]
    columns = max(len(flow.steps) for flow in found) + 1
    lines = [_row(flow, across, whole=place == 0 and len(found) > 1) for place, flow in enumerate(shown)]
    rows = tag("ul", _heads(found[0]), *lines, _axis(across), class_="flows")
    folded = None
    if rest:
        more = tag("ul", *(_row(flow, across, whole=False) for flow in rest), class_="flows")
        folded = tag("details", tag("summary", f"{len(rest):,} more scenarios"), more)
    return tag("div", rows, folded, style=f"--k:{columns}")


def _heads(flow: Flow) -> Markup:
    names = [("pooled", "impressions"), *((f"c{place % 6}", task) for place, task in enumerate(flow.steps))]
    heads = [tag("span", tag("i", class_=f"key {style}"), name) for style, name in names]
    return tag("li", *heads, class_="heads", aria_hidden="true")


def _row(flow: Flow, across: Scale, *, whole: bool) -> Markup:
    numbers = [tag("span", tag("b", count(flow.rows)), tag("small", "impressions", class_="unseen"))]
    for task, (times, parent) in flow.steps.items():
        share = flow.share(task)
        words = rate(share) + (f" of {parent}" if parent and share is not None else "")
        small = tag("small", tag("span", f"{task}: ", class_="unseen"), words)
        numbers.append(tag("span", tag("b", count(times)), small))
    name = tag("strong", flow.name, title=flow.name if len(flow.name) > 18 else None)
    return tag("li", name, _track(flow, across), *numbers, class_="whole" if whole else None)


def _track(flow: Flow, across: Scale) -> Markup:
    lines, dots = [], []
    for place, (task, (times, parent)) in enumerate(flow.steps.items()):
        base, colour = flow.base(task), f"c{place % 6}"
        if times and base:
            ends = {"x1": _percent(across(times)), "x2": _percent(across(base))}
            lines.append(tag("line", **ends, y1=15, y2=15, class_=f"flow {colour}"))
            hint = f"{count(times)} {task}: {rate(flow.share(task))} of {parent or 'impressions'}"
            dots.append(_dot(across(times), f"dot {colour}", hint))
    dots.append(_dot(across(flow.rows), "dot pooled", f"{count(flow.rows)} impressions"))
    about = ", ".join(f"{count(times)} {task}" for task, (times, _) in flow.steps.items())
    return tag(
        "svg",
        tag("title", f"Funnel of {flow.name}"),
        tag("desc", f"{count(flow.rows)} impressions, {about or 'no task'}."),
        *(_tick(across(tick)) for tick in across.ticks(9)),
        *lines,
        *reversed(dots),
        class_="track",
        width="100%",
        height=30,
        role="img",
    )


def _axis(across: Scale) -> Markup:
    labels = [
        tag("text", short(tick), x=_percent(across(tick)), y=12, text_anchor="middle", class_="tick")
        for tick in across.ticks(9)
    ]
    ticks = tag("svg", *labels, class_="track", width="100%", height=16, aria_hidden="true")
    return tag("li", ticks, class_="axis", aria_hidden="true")


def _tick(at: float) -> Markup:
    return tag("line", x1=_percent(at), x2=_percent(at), y1=0, y2=30, class_="grid")


def _dot(at: float, style: str, hint: str) -> Markup:
    return tag("circle", tag("title", hint), cx=_percent(at), cy=15, r=6, class_=style)


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def split_bar(parts: Mapping[str, int]) -> Markup:
    """Rows of training, validation and test as one bar, labelled beneath."""
    total = sum(parts.values())
    widths = {name: rows / total if total else 0.0 for name, rows in parts.items()}
    segments = [
        tag("span", class_=f"part c{place}", style=f"width:{100 * share:.2f}%", title=f"{name}: {rate(share)}")
        for place, (name, share) in enumerate(widths.items())
    ]
    words = [
        tag("span", tag("i", class_=f"key c{place}"), f"{name} ", tag("b", count(parts[name])), f" ({rate(share)})")
        for place, (name, share) in enumerate(widths.items())
    ]
    return join(tag("div", *segments, class_="bar", aria_hidden="true"), tag("p", *words, class_="legend"))
