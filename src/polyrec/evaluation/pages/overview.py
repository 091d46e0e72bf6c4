"""The page of several reports: who leads, where, at what cost; then the leader in detail."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polyrec.evaluation.figures.board import Board
from polyrec.evaluation.figures.cells import ORDER, Cells
from polyrec.evaluation.figures.heat import legend
from polyrec.evaluation.figures.leaderboard import leaderboard
from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.figures.recipes import recipe_dots, recipe_heat
from polyrec.evaluation.figures.wording import plural, reading, space, title
from polyrec.evaluation.pages.report import report_sections
from polyrec.evaluation.pages.shell import Section, document, panel, panels, tabs


def overview_page(
    reports: Sequence[Mapping[str, Any]],
    heading: str = "Recipes compared",
    events: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """Leaderboard, recipes by cells, and the sections of the leader's own report."""
    board = Board.of(reports)
    if not board.entries:
        nothing = Section("glance", "Leaderboard", None, tag("p", "There is no report yet.", class_="lead"))
        return document(heading, [], [nothing], "polyrec overview")
    leader = board.entries[0].name
    detail = next(one for one in reports if str(one.get("recipe") or "?") == leader)
    sections = [
        Section("board", "Leaderboard", None, join(summary(board), leaderboard(board, links or {}))),
        Section(
            "recipes",
            "Recipes by cell",
            "What suits which scenario: shades compare recipes within a cell, from the worst to the best there.",
            tabs("recipe-metric", [(title(metric), _heat(board, metric)) for metric in _metrics(board)]),
        ),
        _dots(board),
    ]
    past = (events or {}).get(leader, ())
    own = [
        Section(one.anchor, f"{leader}: {one.heading[0].lower()}{one.heading[1:]}", one.lead, one.content)
        for one in report_sections(detail, past)
    ]
    return document(heading, _facts(reports, board), [*(one for one in sections if one), *own], "polyrec overview")


def summary(board: Board) -> Markup:
    """Who leads overall and by target, in sentences."""
    said = []
    first = board.entries[0]
    score = board.score(first)
    if score is not None and len(board.entries) > 1:
        second = board.score(board.entries[1])
        gap = f", {score - second:.4f} ahead of {board.entries[1].name}" if second is not None else ""
        said.append(f"{first.name} has the highest mean AUC over cells: {reading('auc', score)}{gap}.")
    best = []
    for target in board.targets:
        means = ((one.mean(board.whole, target, "auc"), one.name) for one in board.entries)
        known = [(value, name) for value, name in means if value is not None]
        if known:
            value, name = max(known)
            best.append(f"{target.task} {space(target)} {name} ({reading('auc', value)})")
    if best and len(board.entries) > 1:
        said.append(f"Best over all rows: {', '.join(best)}.")
    return tag("ul", *(tag("li", one) for one in said), class_="said")


def _metrics(board: Board) -> list[str]:
    found = {metric for entry in board.entries for cells in entry.cells for metric in cells.metrics}
    return [metric for metric in ORDER if metric in found]


def _heat(board: Board, metric: str) -> Markup:
    every = [cells for entry in board.entries for cells in entry.cells]
    hatched, small = any(cells.undefined(metric) for cells in every), any(cells.small(metric) for cells in every)
    return join(recipe_heat(board, metric), legend(metric, hatched=hatched, small=small, dense=True, of="cell"))


def _dots(board: Board) -> Section | None:
    found = [
        panel(target.task, space(target), picture)
        for target in board.targets
        if (picture := recipe_dots(board, target)) is not None
    ]
    lead = (
        "AUC over all rows with its 95 % interval, or with the range over seeds where there are several. Recipes "
        "judged on the same rows differ more surely than these intervals suggest: polyrec compare gives differences."
    )
    return Section("sure", "How sure", lead, panels(found)) if found else None


def _facts(reports: Sequence[Mapping[str, Any]], board: Board) -> list[str]:
    splits = list(dict.fromkeys(str(one.get("split")) for one in reports if one.get("split")))
    rows = max(
        (one.n or 0 for report in reports for one in Cells.of(report.get("cells") or ()).by_key.values()), default=0
    )
    found = [plural(len(board.entries), "recipe"), plural(rows, f"{splits[0]} row" if len(splits) == 1 else "row")]
    return [*found, plural(len(board.scenarios), "scenario"), plural(len(board.targets), "target")]
