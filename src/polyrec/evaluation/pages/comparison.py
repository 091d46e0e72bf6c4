"""The page of a comparison: what gained, what lost, what cannot be told, cell by cell."""

from collections.abc import Mapping, Sequence
from typing import Any

from polyrec.evaluation.figures.differences import Change, change_dots, change_table, read_changes, signed
from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.figures.wording import MACRO, POOLED, count, listed, plural, reading, space, title
from polyrec.evaluation.pages.glossary import glossary
from polyrec.evaluation.pages.shell import Section, document, folded, panel, panels, table, tabs

VERDICTS = (
    ("gained", "Gained", "c0"),
    ("lost", "Lost: negative transfer", "c1"),
    ("cannot be told", "Cannot be told", "neutral"),
    ("undefined", "Undefined", "neutral"),
)
_TOLD = 8


def comparison_page(comparisons: Sequence[Mapping[str, Any]], heading: str | None = None) -> str:
    """One page for every model that was compared with the same baseline."""
    sections = [section for each in comparisons for section in _sections(each, alone=len(comparisons) == 1)]
    sections.append(Section("words", "Words", None, _words(comparisons)))
    others = [str(one["other"]) for one in comparisons]
    base = str(comparisons[0]["baseline"]) if comparisons else "baseline"
    rows = comparisons[0].get("n") if comparisons else None
    facts = [f"{count(rows)} rows, the same for both" if rows else "", plural(len(others), "model")]
    name = heading or (f"{listed(others)} against {base}" if others else "Nothing to compare")
    return document(name, [one for one in facts if one], sections, "polyrec comparison")


def _sections(comparison: Mapping[str, Any], *, alone: bool) -> list[Section]:
    changes = read_changes(comparison.get("differences") or ())
    other = str(comparison["other"])
    metrics = list(dict.fromkeys(one.metric for one in changes))
    anchor = "" if alone else f"-{other}"
    panes = [(title(metric), _metric(changes, metric)) for metric in metrics]
    lead = f"{other} minus {comparison['baseline']}, with intervals. Blue gained, orange lost, grey cannot be told."
    first = metrics[0] if metrics else "auc"
    return [
        Section(f"verdict{anchor}", "Verdict" if alone else other, None, verdict(comparison, changes, first)),
        Section(
            f"cells{anchor}",
            "Cell by cell" if alone else f"{other}, cell by cell",
            lead,
            tabs(f"difference{anchor}", panes) if panes else tag("p", "No cell.", class_="soft"),
        ),
    ]


def verdict(comparison: Mapping[str, Any], changes: Sequence[Change], metric: str) -> Markup:
    """Tiles by verdict, then the pooled and the mean differences in sentences."""
    cells = [one for one in changes if one.metric == metric and one.scenario not in (POOLED, MACRO)]
    tiles = []
    for name, words, style in VERDICTS:
        found = [one for one in cells if one.verdict == name]
        if found or name != "undefined":
            tiles.append(_tile(words, style, found, len(cells), metric))
    totals = [one for where in (POOLED, MACRO) for one in changes if (one.metric, one.scenario) == (metric, where)]
    said = [tag("li", _sentence(one)) for one in totals]
    runs = comparison.get("runs")
    caveat = str(comparison.get("caveat") or "")
    if runs:
        caveat = f"Runs: {runs[0]} of {comparison['baseline']}, {runs[1]} of {comparison['other']}. {caveat}"
    return join(
        tag("div", *tiles, class_="tiles"), tag("ul", *said, class_="said"), tag("p", caveat, class_="after soft")
    )


def _tile(words: str, style: str, found: Sequence[Change], of: int, metric: str) -> Markup:
    order = sorted(found, key=lambda one: -abs(one.difference or 0.0))
    lines = [
        tag("div", tag("dt", one.cell, title=one.words), tag("dd", signed(one.difference))) for one in order[:_TOLD]
    ]
    more = tag("p", f"and {len(found) - _TOLD:,} more", class_="soft") if len(found) > _TOLD else None
    unit = f"of {plural(of, 'cell')}, {title(metric)}"
    return tag(
        "article",
        tag("h3", tag("i", class_=f"key {style}", aria_hidden="true"), words),
        tag("p", tag("b", f"{len(found):,}"), tag("small", unit), class_="big"),
        tag("dl", *lines) if lines else None,
        more,
    )


def _sentence(one: Change) -> str:
    if one.difference is None:
        return f"{title(one.metric)} of {one.cell}: undefined ({one.note or 'no reason given'})."
    doubt = f", {_doubt(one)}" if one.verdict == "cannot be told" else f": {one.verdict}"
    bounds = f" ({signed(one.low)} to {signed(one.high)})" if one.low is not None else ""
    values = f"from {reading(one.metric, one.before)} to {reading(one.metric, one.after)}"
    return f"{title(one.metric)} of {one.cell} went {values}: {signed(one.difference)}{bounds}{doubt}."


def _doubt(one: Change) -> str:
    if one.low is not None and one.high is not None and not one.low <= 0 <= one.high:
        return "which chance may give when this many are looked at"
    return "which cannot be told from none"


def _metric(changes: Sequence[Change], metric: str) -> Markup:
    targets = dict.fromkeys(one.target for one in changes if one.metric == metric)
    dots = [
        panel(target.task, space(target), picture)
        for target in targets
        if (picture := change_dots(changes, target, metric)) is not None
    ]
    rows = [
        [
            one.cell,
            reading(metric, one.before),
            reading(metric, one.after),
            signed(one.difference),
            f"{signed(one.low)} to {signed(one.high)}" if one.low is not None else "",
            one.verdict if not one.note else f"{one.verdict} ({one.note})",
            f"{count(one.positives)} of {count(one.n)}",
        ]
        for one in changes
        if one.metric == metric
    ]
    heads = ["Cell", "Before", "After", "Difference", "Interval", "Verdict", "Positives"]
    numbers = folded("All numbers", table(heads, rows, f"Differences in {title(metric)}"))
    return join(change_table(changes, metric), tag("div", panels(dots), class_="after"), numbers)


def _words(comparisons: Sequence[Mapping[str, Any]]) -> Markup:
    level = comparisons[0].get("level") if comparisons else None
    share = f"{100 * level:g} %" if isinstance(level, float) else "95 %"
    text = (
        f"Both models were tried on the same rows, so what both find hard cancels out. An interval holds the true "
        f"difference in {share} of such cells; a verdict also allows for the number of cells that were looked at."
    )
    return join(tag("p", text, class_="lead"), glossary())
