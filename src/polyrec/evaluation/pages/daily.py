"""A transfer over time, as pictures and tables: every stage on the test rows, and what was accepted from whom."""

from collections.abc import Mapping, Sequence
from typing import Any

from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.figures.periods import Point, period_lines
from polyrec.evaluation.figures.wording import count, reading, title
from polyrec.evaluation.pages.shell import folded, panel, table, tabs

STAGES = {
    "teacher": "pooled, as it is",
    "target": "target only",
    "tuned": "fine-tuned",
    "transfer": "transfer",
    "settled": "transfer, tuned",
}
_DAILY = (
    "The target's test rows by {}, with the model that each stage left, over all impressions. In front: the one that "
    "was kept. Nothing was chosen by these rows. Few rows tell little: look at how often one line is above another."
)
_ACCEPTED = (
    "Candidates by the {} that they are of. Weight: how much they look like the target's rows, times the relation. "
    "a(x): how much the distillation counts there, above .5 where the teacher predicts the labels better than the "
    "student that it taught."
)


def daily(told: Mapping[str, Any], kept: str) -> Markup | None:
    """Metrics of every stage by period; None where there are none."""
    endings, periods = told.get("endings") or {}, told.get("periods") or ()
    if not endings or not periods:
        return None
    front = kept if kept in endings else next(reversed(endings))
    panes = []
    for metric in ("auc", "log_loss"):
        parts: list[Markup | None] = []
        for task in endings[front]:
            parts.append(_stages(endings, front, task, metric, periods))
            parts.append(folded(f"{task}, as a table", _numbers(told, endings, task, metric)))
        panes.append((title(metric), join(*parts)))
    return join(tag("h3", "Over time"), tag("p", _DAILY.format(_length(told))), tabs("daily", panes))


def accepted(told: Mapping[str, Any]) -> Markup | None:
    """Weights and a(x) of the candidates by period and source scenario; None where there are none."""
    sources, periods = told.get("sources") or {}, told.get("periods") or ()
    if not sources or not periods:
        return None
    pictures = []
    for key, name in (("weight", "Weight"), ("a", "Mean a(x)")):
        lines = {source: _points(one.get(key) or ()) for source, one in sources.items()}
        whole = _points(_whole(sources, key, len(periods)))
        if whole:
            picture = period_lines(name, whole, lines, main="all", when="of the candidates", names=_short(periods))
            pictures.append(panel(name, "mean over candidates", picture))
    head = ["Period", "Scenario", "Candidates", "Weight", "a(x)"]
    rows = [
        [
            _whole_word(period),
            source,
            count(one["rows"][place]),
            *(_share(one.get(key) or (), place) for key in ("weight", "a")),
        ]
        for place, period in enumerate(periods)
        for source, one in sources.items()
        if one["rows"][place]
    ]
    words = tag("p", _ACCEPTED.format(_length(told)))
    found = folded("Candidates over time, as a table", table(head, rows, "Candidates by period and scenario"))
    return join(tag("h3", "What was accepted, over time"), words, *pictures, found)


def _stages(endings: Mapping[str, Any], front: str, task: str, metric: str, periods: Sequence[str]) -> Markup | None:
    lines = {name: _points(one[task][metric]) for name, one in endings.items()}
    main = lines.pop(front)
    if not main:
        return None
    behind = {STAGES.get(name, name): points for name, points in lines.items() if points}
    picture = period_lines(
        metric, main, behind, main=STAGES.get(front, front), when="on test rows", names=_short(periods)
    )
    return panel(task, title(metric), picture)


def _numbers(told: Mapping[str, Any], endings: Mapping[str, Any], task: str, metric: str) -> Markup:
    head = ["Period", "Rows", "Positives", *(STAGES.get(name, name) for name in endings)]
    counts = [(told.get(name) or {}).get(task) or () for name in ("rows", "positives")]
    rows = []
    for place, period in enumerate(told["periods"]):
        values = [reading(metric, one[task][metric][place]) for one in endings.values()]
        seen = [count(one[place]) if one else "" for one in counts]
        rows.append([_whole_word(period), *seen, *values])
    return table(head, rows, f"{title(metric)} of {task} over time")


def _points(values: Sequence[float | None]) -> list[Point]:
    return [Point(place, value) for place, value in enumerate(values) if value is not None]


def _whole(sources: Mapping[str, Any], key: str, periods: int) -> list[float | None]:
    """The mean over all candidates of each period."""
    found: list[float | None] = []
    for place in range(periods):
        known = [(one["rows"][place], one[key][place]) for one in sources.values() if key in one]
        known = [(rows, value) for rows, value in known if value is not None]
        total = sum(rows for rows, _ in known)
        found.append(sum(rows * value for rows, value in known) / total if total else None)
    return found


def _share(values: Sequence[float | None], place: int) -> str:
    value = values[place] if values else None
    return "–" if value is None else f"{value:.2f}"


def _whole_word(period: str) -> str:
    """A period that no line break parts."""
    return period.replace("-", "\N{NON-BREAKING HYPHEN}")


def _short(periods: Sequence[str]) -> list[str]:
    """Days without their year."""
    dated = all(len(one) == 10 and one[4] == one[7] == "-" for one in periods)
    return [one[5:] for one in periods] if dated else list(periods)


def _length(told: Mapping[str, Any]) -> str:
    period = told.get("period")
    return period if isinstance(period, str) else "period"
