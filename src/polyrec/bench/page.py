"""The leaderboard as Markdown and as a page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from polyrec.bench.board import BAR, PLACES, Board, Entry, Table, spread
from polyrec.bench.cell import Cell
from polyrec.bench.described import target_name
from polyrec.bench.space import Settings
from polyrec.evaluation.difference import Difference
from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.groups import MACRO, POOLED
from polyrec.evaluation.pages.shell import Section, document
from polyrec.evaluation.pages.shell import table as table_of
from polyrec.evaluation.text import signed

_WHERE = {MACRO: "mean of scenarios", POOLED: "all rows"}


@dataclass(frozen=True, slots=True)
class Part:
    """A heading with sentences and tables under it: what both forms are made of."""

    heading: str
    said: tuple[str, ...]
    tables: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = ()  # caption, head, lines


def parts(board: Board) -> tuple[Part, ...]:
    """Everything that the leaderboard says."""
    tables = [_table(board, one) for one in board.tables]
    return tuple(part for part in (_protocol(board), *tables, _ranks(board), _gaps(board)) if part is not None)


def markdown(board: Board) -> str:
    """The leaderboard as Markdown, headings from the second level on."""
    lines: list[str] = []
    for part in parts(board):
        lines += [f"## {part.heading}", ""]
        lines += [line for one in part.said for line in (f"- {one}",)] + ([""] if part.said else [])
        for caption, head, rows in part.tables:
            lines += [caption, "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
            lines += [f"| {' | '.join(row)} |" for row in rows] + [""]
    return "\n".join(lines).rstrip() + "\n"


def html(board: Board) -> str:
    """The leaderboard as a page of its own, in the style of the reports."""
    sections = []
    for place, part in enumerate(parts(board)):
        said = tag("ul", *(tag("li", _marked(one)) for one in part.said), class_="said") if part.said else None
        tables = [_html_table(*one) for one in part.tables]
        sections.append(Section(f"part-{place}", part.heading, None, join(said, *tables)))
    return document(f"Suite {board.suite.name}", [], sections, "polyrec bench")


def _html_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    words = head[0] == "cost"  # settings and commands are read from their beginning
    cells = [[_marked(cell if words else _whole(cell)) for cell in row] for row in rows]
    heads = [join(*(tag("div", part) for part in name.split(", "))) if not words else name for name in head]
    return join(
        tag("p", _marked(caption), class_="after soft"), table_of(heads, cells, caption.replace("`", ""), words=words)
    )


def _whole(cell: str) -> str:
    """A line may end between a difference and its interval, and within neither."""
    for within in (" ± ", " to "):
        cell = cell.replace(within, within.replace(" ", "\u00a0"))
    return cell


def _marked(text: str) -> Markup:
    """What Markdown puts between stars in bold; the marks of code are left out."""
    parts = re.split(r"\*\*(.+?)\*\*", text.replace("`", ""))
    return join(*(tag("b", one) if place % 2 else one for place, one in enumerate(parts)))


def _protocol(board: Board) -> Part:
    suite = board.suite
    lines = [line for table in board.tables for one in table.entries for line in one.lines]
    made = {f"{name} {value}" for line in lines for name, value in line["versions"].items()}
    budget = (
        f"each recipe is tried with {suite.trials} settings on each data set, the first its own, "
        f"{'the others the same random draws for all' if suite.sampler == 'random' else 'the others found by TPE'}; "
        "the one with the best validation score is trained with every seed"
        if suite.trials > 1
        else "every recipe with its own settings; none is tuned"
    )
    searched = f": {', '.join(f'`{key}`' for key in suite.space)}" if suite.trials > 1 else ""
    said = [
        f"Tuning: {budget}{searched}. Test rows are scored once, after it.",
        f"Seeds: {', '.join(map(str, suite.seeds))} (initial weights and shuffling), mean ± standard deviation.",
        f"Differences from `{suite.baseline}` are paired by row and user, with 95 % intervals that hold the spread "
        f"between seeds; **bold** where p < {BAR} after Holm's correction for every difference of the table.",
        "Seconds are of CPU for one run, scoring and report included, imports not. Rows/s are of the training, by the "
        "clock: on a machine that does other work they say little.",
        f"Made with {', '.join(sorted(made)) or 'nothing yet'}.",
    ]
    return Part("Protocol", tuple(([suite.about] if suite.about else []) + said))


def _table(board: Board, table: Table) -> Part | None:
    shown = [one for one in table.entries if one.lines]
    if not shown:
        return None
    columns = [(target, place) for target in table.targets for place in PLACES]
    head = ("AUC", *(f"{target_name(target)}, {_WHERE[place]}" for target, place in columns))
    values = tuple((_who(one, board), *(spread(one.values(*each)) for each in columns)) for one in shown)
    changes = tuple(
        (_who(one, board), *(_change(one.difference(*each), one) for each in columns))
        for one in shown
        if one.contender.name != board.suite.baseline
    )
    costs = tuple(
        (
            _who(one, board),
            f"{one.lines[0]['parameters']:,}",
            _cost(one, "cpu_seconds"),
            _cost(one, "rows_per_second"),
            _settings(one.lines[0]["settings"]),
            f"`{Cell(table.data, one.contender.name, 'seed', board.suite.seeds[0]).command}`",
        )
        for one in shown
    )
    order = "mean ± sd over seeds; the baseline, then by the mean of scenarios over all targets"
    tables = [(f"Test AUC on `{table.data}`, {order}:", head, values)]
    if any(one.differences for one in shown):
        tables.append(
            (f"Against `{board.suite.baseline}`, {table.looks} differences:", ("difference", *head[1:]), changes)
        )
    names = (
        "cost",
        "parameters",
        "CPU seconds",
        "rows/s",
        "settings found",
        "command of one seed, in the suite's folder",
    )
    said = (*([table.about] if table.about else []), *_reading(board, table))
    return Part(table.data, said, (*tables, ("What it costs, and how to repeat it:", names, costs)))


def _reading(board: Board, table: Table) -> tuple[str, ...]:
    """Whether anything beats the baseline here."""
    others = [one for one in table.finished if one.contender.name != board.suite.baseline and one.differences]
    if not others:
        return ("Nothing can be compared yet.",)
    said = []
    for verdict, words in (("gained", "above"), ("lost", "below")):
        names = []
        for one in others:
            found = [each for each in one.differences if each.verdict == verdict]
            if found:
                strongest = max(found, key=lambda each: abs(each.difference or 0.0))
                names.append(f"`{one.contender.name}` in {len(found)} of {len(one.differences)} ({_told(strongest)})")
        base = board.suite.baseline
        said.append(
            f"{words.capitalize()} `{base}` by more than chance: {'; '.join(names)}."
            if names
            else f"None of {len(others)} finished recipes is {words} `{base}` by more than chance."
        )
    return (*said, *_seen(others))


def _seen(others: Sequence[Entry]) -> tuple[str, ...]:
    """How small a difference the intervals leave room for: no gain that is seen is not yet no gain."""
    known = [each for one in others for each in one.differences]
    halves = [(one.high - one.low) / 2 for one in known if one.low is not None and one.high is not None]
    if not halves:
        return ()
    return (
        f"Half of the intervals reach {median(halves):.3f} or more to either side: with these rows and seeds, "
        "differences smaller than that can mostly not be told from none.",
    )


def _told(one: Difference) -> str:
    bounds = f", {signed(one.low)} to {signed(one.high)}" if one.low is not None else ""
    return f"{one.cell} {signed(one.difference)}{bounds}"


def _ranks(board: Board) -> Part | None:
    ranks = board.ranks
    if len(ranks) < 2:
        return None
    lines = tuple((f"`{name}`", f"{rank:.2f}", str(count)) for name, (rank, count) in ranks.items())
    return Part(
        "Average rank",
        ("By AUC in the mean of scenarios, over data sets and targets; recipes that are finished on all of them.",),
        (("1 is best:", ("recipe", "average rank", "over"), lines),),
    )


def _gaps(board: Board) -> Part | None:
    said = []
    for table in board.tables:
        missing = [one for one in table.entries if not one.lines]
        if missing:
            said.append(f"{table.data}: {', '.join(_why(one) for one in missing)}.")
        few = [one for one in table.entries if one.lines and one.failures]
        said += [f"{table.data}, `{one.contender.name}`: {'; '.join(one.failures)}." for one in few]
        said += [
            f"{table.data}, `{one.contender.name}`: not comparable: {one.note}" for one in table.entries if one.note
        ]
    return Part("What did not run", tuple(said)) if said else None


def _why(one: Entry) -> str:
    failed = [reason for reason in one.failures if "failed" in reason]
    return f"`{one.contender.name}`" + (f" ({failed[0]})" if failed else "")


def _who(one: Entry, board: Board) -> str:
    few = f" ({len(one.lines)} of {len(board.suite.seeds)} seeds)" if one.failures else ""
    return f"`{one.contender.name}`{few}"


def _change(one: Difference | None, entry: Entry) -> str:
    if one is None or one.difference is None:
        return "not comparable" if entry.note else "-"
    shown = signed(one.difference) + (f" ({signed(one.low)} to {signed(one.high)})" if one.low is not None else "")
    return f"**{shown}**" if one.verdict in ("gained", "lost") else shown


def _cost(one: Entry, key: str) -> str:
    found = one.cost(key)
    return "-" if found is None else f"{found:,.0f}"


def _settings(found: Settings) -> str:
    return ", ".join(f"`{key}` {value}" for key, value in found.items()) or "its own"
