"""Recipes by cells: a heat map shaded within each cell, and dots with intervals."""

from polyrec.evaluation.figures.board import Board, Entry
from polyrec.evaluation.figures.forest import Forest, Line
from polyrec.evaluation.figures.heat import Shading
from polyrec.evaluation.figures.markup import Markup, scrolled, tag
from polyrec.evaluation.figures.wording import reading, scenario, space, title
from polyrec.schema import Target

MOST_ACROSS = 8  # scenarios; more of them run down the page


def recipe_heat(board: Board, metric: str) -> Markup:
    """A line a recipe and a column a cell, shaded within each column; cells run down where they are many."""
    if len(board.scenarios) > MOST_ACROSS:
        return _cells_down(board, metric)
    wanted = [(name, target) for target in board.targets for name in board.columns]
    shown = [one for one in wanted if any(entry.values(*one, metric) for entry in board.entries)]
    shades = [_shading(board, *one, metric) for one in shown]
    groups = [
        tag("th", target.task, tag("small", space(target)), colspan=wide, scope="colgroup")
        for target in board.targets
        if (wide := sum(one == target for _, one in shown))
    ]
    heads = [tag("th", breakable(scenario(name)), scope="col", title=name) for name, _ in shown]
    lines = []
    for entry in board.entries:
        cells = [_cell(entry, *one, metric, shade) for one, shade in zip(shown, shades, strict=True)]
        lines.append(tag("tr", tag("th", entry.name, scope="row"), *cells))
    head = tag("thead", tag("tr", tag("td", ""), *groups), tag("tr", tag("th", "Recipe", scope="col"), *heads))
    return _table(metric, head, [tag("tbody", *lines)], len(shown), "heat recipes")


def _cells_down(board: Board, metric: str) -> Markup:
    bodies = []
    for target in board.targets:
        heading = tag("th", target.task, tag("small", f" {space(target)}"), scope="rowgroup", class_="part-of")
        lines = [tag("tr", heading)]
        for name in board.columns:
            shade = _shading(board, name, target, metric)
            cells = [_cell(entry, name, target, metric, shade) for entry in board.entries]
            lines.append(tag("tr", tag("th", scenario(name), scope="row", title=name), *cells))
        bodies.append(tag("tbody", *lines))
    heads = [tag("th", breakable(entry.name), scope="col") for entry in board.entries]
    head = tag("thead", tag("tr", tag("th", "Scenario", scope="col"), *heads))
    return _table(metric, head, bodies, len(board.entries), "heat dense", tall=True)


def _table(metric: str, head: Markup, bodies: list[Markup], columns: int, style: str, *, tall: bool = False) -> Markup:
    caption = f"{title(metric)} of every recipe in every cell"
    hidden = tag("caption", caption, class_="unseen")
    table = tag("table", hidden, tag("col"), head, *bodies, class_=style, data_grid=True, style=f"--columns:{columns}")
    return scrolled(table, caption, tall=tall)


def _shading(board: Board, name: str, target: Target, metric: str) -> Shading:
    means = [entry.mean(name, target, metric) for entry in board.entries]
    return Shading.over(metric, [one for one in means if one is not None], tight=True)


def _cell(entry: Entry, name: str, target: Target, metric: str, shade: Shading) -> Markup:
    value, first = entry.mean(name, target, metric), entry.first(name, target, metric)
    if value is None:
        return tag("td", tag("b", "–"), class_="hatch", title=(first.note if first else None) or "undefined")
    seeds = len(entry.cells)
    words = first.support if first and seeds == 1 else f"mean of {seeds} seeds"
    return tag(
        "td", tag("b", reading(metric, value)), class_="few" if first and first.few else shade(value), title=words
    )


def breakable(words: str) -> str:
    """Words that may break after an underscore, so that narrow columns hold long names."""
    return words.replace("_", "_\u200b")


def recipe_dots(board: Board, target: Target, metric: str = "auc") -> Markup | None:
    """Every recipe's value over all rows, best first, with its interval, or the range over its seeds."""
    lines = []
    for entry in board.entries:
        value, first = entry.mean(board.whole, target, metric), entry.first(board.whole, target, metric)
        if value is None or first is None:
            continue
        seeds = entry.values(board.whole, target, metric)
        low, high = (first.low, first.high) if len(seeds) == 1 else (min(seeds), max(seeds))
        lines.append(Line(entry.name, value, low, high, reading(metric, value), f"{entry.name}: {first.words}"))
    lines.sort(key=lambda line: -line.value)
    if not lines:
        return None
    return Forest(f"{title(metric)} of {target.task}, {space(target)}, by recipe", lines, least=0.005).drawn()
