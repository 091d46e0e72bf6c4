"""The page of a model that goes on learning: each period before it was learned from, and what is forgotten since."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polyrec.evaluation.figures.heat import Shading
from polyrec.evaluation.figures.markup import Markup, join, scrolled, tag
from polyrec.evaluation.figures.periods import Point, period_lines
from polyrec.evaluation.figures.wording import POOLED, count, plural, space, title
from polyrec.evaluation.pages.shell import Section, document, panel, table, tabs
from polyrec.evaluation.text import aligned
from polyrec.schema import Target

Line = Mapping[str, Any]
TOLD = (
    "AUC over all rows of each period before training on it; forgotten: AUC lost since on held rows of earlier periods"
)
METRICS = ("auc", "log_loss", "pcoc")
FORGOT = (
    "Mean AUC over cells on rows of each period that were never trained on. A row is a generation, a column the period "
    "that the rows are of; in bold the period just learned from, to its left what is remembered. Forgotten: the "
    "best AUC of a column so far less its last, a mean over columns."
)


def history_page(history: Sequence[Line], events: Iterable[Mapping[str, Any]], recipe: str) -> str:
    """The whole page."""
    told = list(events)
    sections = [
        Section("metrics", "Before training on it", "Each period, judged by the model that stood when it came. "
                "Period 0: the test rows of the fit. The band is the interval over all rows.", _metrics(history)),
        Section("forgetting", "What is forgotten", FORGOT, _forgetting(history)),
        Section("periods", "Periods", None, _periods(history)),
    ]  # fmt: skip
    doubts = _doubts(history, told)
    if doubts is not None:
        sections.insert(2, Section("guards", "What the guards said", None, doubts))
    rows = sum(int(line["rows"]) for line in history[1:])
    facts = [
        plural(len(history) - 1, "period"),
        f"{count(rows)} new rows",
        f"generation {history[-1]['generation']} stands",
    ]
    return document(f"{recipe}, period after period", facts, sections, "polyrec update")


def history_table(history: Sequence[Line]) -> str:
    """For a terminal: a line a period with the AUC over all rows before training on it, and the mean forgetting."""
    targets = _targets(history)
    lines = []
    for line in history:
        found = [_value(line, POOLED, target, "auc") for target in targets]
        worst = forgetting(history[: int(line["generation"]) + 1])
        shown = "-" if worst is None else f"{worst:+.4f}"
        lines.append([str(line["generation"]), str(line["name"]), f"{line['rows']:,}",
                      *("-" if one is None else f"{one.value:.4f}" for one in found), shown])  # fmt: skip
    table = aligned(["generation", "period", "rows", *(target.name for target in targets), "forgotten"], lines)
    return f"{TOLD}\n\n{table}"


def forgetting(history: Sequence[Line]) -> float | None:
    """Mean over earlier periods of the best AUC that any generation had on their held rows, less the last one's.

    Source: Chaudhry et al., ECCV 2018, "Riemannian Walk for Incremental Learning", on AUC in place of accuracy.
    """
    last = history[-1].get("held") or {}
    gaps = []
    for period, now in last.items():
        if int(period) < int(history[-1]["generation"]) and "auc" in now:
            known = [
                line["held"][period]["auc"] for line in history if "auc" in (line.get("held") or {}).get(period, {})
            ]
            gaps.append(max(known) - now["auc"])
    return sum(gaps) / len(gaps) if gaps else None


def _targets(history: Sequence[Line]) -> list[Target]:
    return list(dict.fromkeys(Target(row["task"], row["space"]) for line in history for row in line["cells"]))


def _value(line: Line, scenario: str, target: Target, metric: str) -> Point | None:
    for row in line["cells"]:
        if (row["scenario"], row["task"], row["space"], row["metric"]) == (scenario, target.task, target.space, metric):
            if row.get("value") is None:
                return None
            return Point(int(line["generation"]), row["value"], row.get("low"), row.get("high"))
    return None


def _metrics(history: Sequence[Line]) -> Markup:
    names = dict.fromkeys(row["scenario"] for line in history for row in line["cells"])
    scenarios = [name for name in names if name not in (POOLED, "macro")]
    flagged = [int(line["generation"]) for line in history if line.get("findings")]
    panes = []
    for metric in METRICS:
        pictures = []
        for target in _targets(history):
            found = {name: _points(history, name, target, metric) for name in (POOLED, *scenarios)}
            pooled = found.pop(POOLED)
            if pooled:
                lines = {name: points for name, points in found.items() if points}
                pictures.append(panel(target.task, space(target), period_lines(metric, pooled, lines, flagged)))
        panes.append((title(metric), join(*pictures)))
    return tabs("metric", panes)


def _points(history: Sequence[Line], name: str, target: Target, metric: str) -> list[Point]:
    found = (_value(line, name, target, metric) for line in history)
    return [one for one in found if one is not None]


def _forgetting(history: Sequence[Line]) -> Markup:
    periods = sorted({int(period) for line in history for period in line.get("held") or {}})
    values = [one["auc"] for line in history for one in (line.get("held") or {}).values() if "auc" in one]
    if not values:
        return tag("p", "No rows were held out.", class_="soft")
    shade = Shading.over("auc", values)
    lines = []
    for line in history:
        held = line.get("held") or {}
        parts = [_held(held.get(str(one), {}).get("auc"), shade, own=one == line["generation"]) for one in periods]
        lost = forgetting(history[: int(line["generation"]) + 1])
        words = "" if lost is None else f"{lost:+.4f}".replace("-", "−")
        lines.append(tag("tr", tag("th", str(line["generation"]), scope="row"), *parts, tag("td", words)))
    heads = [tag("th", "Generation", scope="col"), *(tag("th", str(one), scope="col") for one in periods)]
    caption = "AUC of each generation on held rows of each period"
    head = tag("thead", tag("tr", *heads, tag("th", "forgotten", scope="col")))
    whole = tag("table", tag("caption", caption, class_="unseen"), head, tag("tbody", *lines), class_="heat dense")
    return scrolled(whole, caption)


def _held(value: float | None, shade: Shading, *, own: bool) -> Markup:
    if value is None:
        return tag("td", "", class_="none")
    words = f"{value:.3f}"
    return tag("td", tag("b", words) if own else words, class_=shade(value))


def _doubts(history: Sequence[Line], events: Sequence[Mapping[str, Any]]) -> Markup | None:
    rows = [
        [str(line["name"]), str(one["kind"]), str(one["words"]), "taken all the same"]
        for line in history
        for one in line.get("findings") or ()
    ]
    for event in events:
        if event.get("kind") == "refused":
            rows += [
                [str(event["period"]), str(one["kind"]), str(one["words"]), "refused"] for one in event["findings"]
            ]
    back = [f"Gone back to generation {event['generation']}." for event in events if event.get("kind") == "rolled back"]
    if not rows and not back:
        return None
    head = ["Period", "Kind", "What was found", "What was done"]
    found = table(head, rows, "What the guards found", words=True) if rows else None
    return join(found, *(tag("p", words) for words in back))


def _periods(history: Sequence[Line]) -> Markup:
    rows = []
    for line in history:
        seconds = line.get("seconds") or {}
        new = sum((line.get("new values") or {}).values())
        scenarios = ", ".join(line.get("new scenarios") or ())
        rows.append([
            str(line["generation"]), str(line["name"]), count(line["rows"]), count(line["trained"]),
            count(new) if new else "", scenarios, f"{seconds['train']:.1f}" if seconds.get("train") is not None else "",
        ])  # fmt: skip
    head = ["Generation", "Period", "Rows", "Rows trained", "New values", "New scenarios", "Seconds of training"]
    return table(head, rows, "Periods")
