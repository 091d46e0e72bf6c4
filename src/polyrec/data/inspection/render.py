"""An inspection as tables on a terminal."""

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from polyrec.data.inspection.cells import CellCount
from polyrec.data.inspection.findings import Finding, Severity, share
from polyrec.data.inspection.inspection import Inspection
from polyrec.data.inspection.statistics import Column
from polyrec.data.places import few
from polyrec.schema import ALL

_COLOURS: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "info": "cyan"}
MOST_CELLS = 60


def render(inspection: Inspection, console: Console) -> None:
    """Print an inspection: columns, cells, choices, and last what was found, the worst first."""
    sampled = f", associations on {inspection.sampled:,}" if inspection.sampled < inspection.rows else ""
    console.print(Text(f"{few(inspection.paths)}: {inspection.rows:,} rows{sampled}", style="bold"))
    console.print(_columns(inspection))
    console.print(_cells(inspection))
    if inspection.choices:
        console.print(_lines("Chosen", [escape(choice) for choice in inspection.choices]))
    if inspection.inferred and inspection.excluded:
        left_out = [f"[bold]{escape(name)}[/]: {escape(reason)}" for name, reason in inspection.excluded.items()]
        console.print(_lines("No features", left_out))
    console.print(_findings(inspection.findings))


def _lines(title: str, lines: list[str]) -> Group:
    return Group(Text(f"\n{title}", style="bold"), *(Text.from_markup(f"  {line}") for line in lines))


def _columns(inspection: Inspection) -> Table:
    table = Table(title="Columns", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("column", "used as", "type"):
        table.add_column(heading, no_wrap=heading == "column")
    for heading in ("distinct", "null", "low", "high"):
        table.add_column(heading, justify="right")
    table.add_column("most frequent", overflow="ellipsis", no_wrap=True)
    for column in inspection.columns:
        table.add_row(*(escape(cell) for cell in _column(column, _use(column.name, inspection))))
    return table


def _column(column: Column, use: str) -> tuple[str, ...]:
    distinct = "" if column.distinct is None else f"{column.distinct:,}"
    null = share(column.null_share) if column.nulls or column.nans else ""
    text = (column.is_text and not column.is_time) or column.type in ("Categorical", "Boolean")
    low, high = ("", "") if text else (_value(column.low), _value(column.high))
    kind = column.type.split("(")[0]
    return (column.name, use, kind, distinct, null, low, high, ", ".join(column.examples))


def _value(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _use(name: str, inspection: Inspection) -> str:
    """What the schema makes of a column: its keys, its feature and side, its task."""
    schema = inspection.schema
    roles = ("scenario", "user", "item", "time", "group")
    uses = [role for role in roles if getattr(schema.keys, role) == name]
    uses += [f"{one.kind} ({one.side})" for one in schema.features if one.name == name]
    uses += [
        f"task {one.name}" + (f" after {one.after}" if one.after else "") for one in schema.tasks if one.label == name
    ]
    return ", ".join(uses) or "-"


def _cells(inspection: Inspection) -> Table:
    table = Table(title="\nCells", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("scenario")
    table.add_column("task")
    for heading in ("rows", "positives", "rate"):
        table.add_column(heading, justify="right")
    for cell in inspection.cells[:MOST_CELLS]:
        table.add_row(*(escape(text) for text in _cell(cell)))
    if len(inspection.cells) > MOST_CELLS:
        table.add_row(f"... and {len(inspection.cells) - MOST_CELLS:,} more cells", "", "", "", "")
    return table


def _cell(cell: CellCount) -> tuple[str, ...]:
    task = cell.task if cell.space == ALL else f"{cell.task} given {cell.space}"
    rate = "" if cell.rate is None else f"{cell.rate * 100:.2f} %"
    return (cell.scenario, task, f"{cell.rows:,}", f"{cell.positives:,}", rate)


def _findings(findings: tuple[Finding, ...]) -> Group:
    if not findings:
        return Group(Text("\nNothing found that would spoil a model.", style="bold green"))
    counts = [(name, sum(one.severity == name for one in findings)) for name in _COLOURS]
    summary = ", ".join(
        f"{count} {name}" + ("s" if count != 1 and name != "info" else "") for name, count in counts if count
    )
    lines = []
    for finding in findings:
        line = Text(f"  {finding.severity:<8}", style=_COLOURS[finding.severity])
        line.append(f"{finding.kind}: ", style="bold")
        line.append(finding.message, style="default")
        lines.append(line)
    return Group(Text(f"\nFindings: {summary}", style="bold"), *lines)
