"""Recipes in a table, the best first: values, spread over seeds, and what they cost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from polyrec.evaluation.figures.board import Board, Entry
from polyrec.evaluation.figures.markup import Markup, scrolled, tag
from polyrec.evaluation.figures.wording import reading, seconds, short, space
from polyrec.schema import Target

_COSTS: Sequence[tuple[str, str, Callable[[float], str]]] = (
    ("parameters", "Parameters", short),
    ("seconds", "Time", seconds),
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and a value and its text by entry. `contest`: the highest is the best."""

    heading: str
    under: str
    values: Sequence[float | None]
    texts: Sequence[str]
    contest: bool = True

    def cell(self, place: int) -> Markup:
        """The entry's text, bold where it is the best of several."""
        known = [one for one in self.values if one is not None]
        best = self.contest and len(known) > 1 and self.values[place] == max(known)
        return tag("td", self.texts[place], class_="best" if best else None)


def leaderboard(board: Board, links: Mapping[str, str]) -> Markup:
    """Rank, recipe, mean over cells, each target's pooled AUC, and what it costs."""
    columns = [_scores(board), *(_target(board, one) for one in board.targets), *_costs(board)]
    heads = [tag("th", one.heading, tag("small", one.under) if one.under else None, scope="col") for one in columns]
    lines = []
    for place, entry in enumerate(board.entries):
        rank = tag("td", str(place + 1), class_="soft")
        lines.append(tag("tr", rank, _name(entry, links), *(one.cell(place) for one in columns)))
    caption = "Recipes by their mean AUC over cells"
    table = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", tag("td", ""), tag("th", "Recipe", scope="col"), *heads)),
        tag("tbody", *lines),
        class_="plain board",
    )
    return scrolled(table, caption)


def _scores(board: Board) -> Column:
    values = [board.score(one) for one in board.entries]
    return Column("Mean of cells", "AUC", values, [reading("auc", one) for one in values])


def _target(board: Board, target: Target) -> Column:
    values = [one.mean(board.whole, target, "auc") for one in board.entries]
    spreads = [one.deviation(board.whole, target, "auc") for one in board.entries]
    texts = [
        reading("auc", value) if spread is None else f"{reading('auc', value)} ± {spread:.4f}"
        for value, spread in zip(values, spreads, strict=True)
    ]
    return Column(target.task, f"{space(target)}, AUC", values, texts)


def _costs(board: Board) -> list[Column]:
    found = []
    for key, heading, words in _COSTS:
        values = [one.run(key) for one in board.entries]
        if any(one is not None for one in values):
            texts = ["–" if one is None else words(one) for one in values]
            found.append(Column(heading, "", values, texts, contest=False))
    return found


def _name(entry: Entry, links: Mapping[str, str]) -> Markup:
    name = tag("a", entry.name, href=links[entry.name]) if entry.name in links else entry.name
    seeds = tag("small", f" {len(entry.cells)} seeds", class_="soft") if len(entry.cells) > 1 else None
    return tag("th", name, seeds, scope="row")
