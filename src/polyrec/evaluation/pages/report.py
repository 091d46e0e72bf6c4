"""The page of one report: at a glance, cells, intervals, calibration, funnel, training."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from polyrec.evaluation.figures import curves, dots, funnel, heat
from polyrec.evaluation.figures.cells import Cells
from polyrec.evaluation.figures.flows import flow_pictures, read_flows
from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.figures.reliability import read_curves
from polyrec.evaluation.figures.wording import POOLED, count, finite, plural, seconds, short, space, title
from polyrec.evaluation.pages.calibration import calibrated
from polyrec.evaluation.pages.glance import glance
from polyrec.evaluation.pages.glossary import glossary
from polyrec.evaluation.pages.shell import Section, document, folded, panel, panels, table, tabs
from polyrec.evaluation.pages.transfer import transferred

_FACTS: Mapping[str, Callable[[float], str]] = {
    "seconds": seconds,
    "rows_per_second": lambda value: f"{short(value)} rows/s",
    "parameters": lambda value: f"{short(value)} parameters",
    "peak_memory_mb": lambda value: f"{count(value)} MB peak memory",
    "seed": lambda value: f"seed {value:.0f}",
}


def report_page(report: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = (), heading: str | None = None) -> str:
    """The whole page of a report.json, with training curves where its events are given."""
    name = heading or str(report.get("recipe") or "Report")
    return document(name, facts(report, name), report_sections(report, events))


def report_sections(report: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = ()) -> list[Section]:
    """Everything there is to show of one report, part by part."""
    cells = Cells.of(report.get("cells") or ())
    sections = [
        Section("glance", "At a glance", None, glance(cells)),
        _cells(cells),
        _intervals(cells),
        _calibration(cells, report.get("reliability") or ()),
        _flows(report.get("flows") or ()),
        transferred(report.get("transfer") or {}),
        _data(cells, report.get("data") or {}),
        _training(curves.history(events)),
        Section("words", "Words and numbers", None, join(glossary(), _numbers(report))),
    ]
    return [one for one in sections if one is not None]


def facts(report: Mapping[str, Any], heading: str) -> list[str]:
    """What was trained on what, in a few short pieces."""
    cells, run = Cells.of(report.get("cells") or ()), report.get("run") or {}
    tasks = dict.fromkeys(target.task for target in cells.targets)
    rows = max((one.n or 0 for one in cells.by_key.values()), default=0)
    found = [f"recipe {report['recipe']}"] if report.get("recipe") not in (None, heading) else []
    found.append(plural(rows, f"{report['split']} row" if report.get("split") else "row"))
    found += [plural(len(cells.scenarios), "scenario"), plural(len(tasks), "task")]
    known = {key: finite(run.get(key)) for key in _FACTS}
    return found + [_FACTS[key](value) for key, value in known.items() if value is not None]


def _cells(cells: Cells) -> Section | None:
    if not cells.by_key:
        return None
    panes = [(title(metric), heat.heat_map(cells, metric)) for metric in cells.metrics]
    lead = "Every scenario and target. Shades compare scenarios within a column; point at a cell for its interval."
    return Section("cells", "Cells", lead, tabs("metric", panes))


def _intervals(cells: Cells) -> Section | None:
    found = [
        panel(target.task, space(target), picture)
        for target in cells.targets
        if (picture := dots.whiskers(cells, target)) is not None
    ]
    lead = "AUC with 95 % intervals. Hollow: too few rows of one class to judge. Dashed: all rows pooled."
    return Section("intervals", "How sure", lead, panels(found)) if found else None


def _calibration(cells: Cells, rows: Sequence[Mapping[str, Any]]) -> Section | None:
    alone = len(cells.scenarios) == 1  # then the pooled rows are the same rows
    found = read_curves(row for row in rows if not (alone and row["scenario"] == POOLED))
    if not found:
        return None
    figures = [panel(one.task, space(one), *calibrated(cells, one, curves)) for one, curves in found.items()]
    lead = (
        "Predicted against observed rates in bins of similar prediction, each of at least 8 rows of either kind. "
        "On the diagonal, predictions can be trusted as rates."
    )
    return Section("calibration", "Calibration", lead, panels(figures))


def _flows(entries: Sequence[Mapping[str, Any]]) -> Section | None:
    pictures = flow_pictures(read_flows(entries))
    lead = (
        "Ways through the network, by scenario unit and task unit. Darker: kept by more rows. Below: what the AUC "
        "changes by when a kept flow is cut for all rows, or a pruned one comes back."
    )
    found = [panel(head, None, picture) for head, picture in pictures.items()]
    return Section("flows", "Information flows", lead, panels(found)) if found else None


def _data(cells: Cells, data: Mapping[str, Any]) -> Section | None:
    found, counts = funnel.flows(cells), data.get("rows") or {}
    parts = {name: int(rows) for name in ("train", "valid", "test") if (rows := finite(counts.get(name))) is not None}
    if not found and not parts:
        return None
    notes = [tag("li", str(one)) for one in data.get("notes") or ()]
    split = join(tag("h3", "Rows"), funnel.split_bar(parts)) if parts else None
    told = tag("ul", *notes, class_="said soft") if notes else None
    lead = (
        "The axis is logarithmic: the distance between two dots is the rate between them, "
        "so equal distances are equal rates in every row."
    )
    heading = tag("h3", "From impression on, in the rows judged")
    shown = join(heading, tag("p", lead, class_="lead"), funnel.funnel(found)) if found else None
    return Section("data", "The data", None, join(split, told, shown))


def _training(past: curves.History) -> Section | None:
    found = []
    if past.scores.points:
        metric = past.scores.name
        words = "mean over cells, higher is better" if metric == "score" else f"mean {title(metric)} over cells"
        found.append(panel("Validation", words, curves.score_curve(past.scores, past.epochs)))
    found += [panel(one.name, "training loss", curves.loss_curve(one, past.epochs)) for one in past.losses]
    if any(one.moves for one in past.weights):
        found.append(panel("Weights", "of the balancer", curves.weight_curves(past.weights, past.epochs)))
    lead = "Lines are means of neighbouring steps, bands their range. Dotted lines begin an epoch."
    return Section("training", "Training", lead, panels(found)) if found else None


def _numbers(report: Mapping[str, Any]) -> Markup | None:
    told = {**(report.get("run") or {}), **{f"intervals: {k}": v for k, v in (report.get("intervals") or {}).items()}}
    rows = [[key.replace("_", " "), _plain(value)] for key, value in told.items() if value is not None]
    return folded("The run in numbers", table(["What", "Value"], rows, "The run")) if rows else None


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
