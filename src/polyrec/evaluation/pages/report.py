"""The page of one report: at a glance, cells, intervals, calibration, funnel, training."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polyrec.evaluation.figures import curves, dots, funnel, heat, reliability
from polyrec.evaluation.figures.cells import Cells
from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.figures.wording import (
    MACRO, POOLED, count, finite, interval, plural, rate, reading, scenario, seconds, short, space, title,
)  # fmt: skip
from polyrec.evaluation.pages.findings import findings, off_by
from polyrec.evaluation.pages.glossary import glossary
from polyrec.evaluation.pages.shell import Section, document, folded, panel, panels, table, tabs
from polyrec.schema import Target


def report_page(report: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = (), heading: str | None = None) -> str:
    """The whole page of a report.json, with training curves where its events are given."""
    cells = Cells.of(report.get("cells") or ())
    sections = [
        Section("glance", "At a glance", None, glance(cells)),
        _cells(cells),
        _intervals(cells),
        _calibration(cells, report.get("reliability") or ()),
        _funnel(cells, report.get("data") or {}),
        _training(curves.history(events)),
        Section("words", "Words and numbers", None, join(glossary(), _numbers(report))),
    ]
    name = heading or str(report.get("recipe") or "Report")
    return document(name, facts(report, cells, name), [one for one in sections if one is not None])


def facts(report: Mapping[str, Any], cells: Cells, heading: str) -> list[str]:
    """What was trained on what, in a few short pieces."""
    run = report.get("run") or {}
    tasks = dict.fromkeys(target.task for target in cells.targets)
    rows = max((one.n or 0 for one in cells.by_key.values()), default=0)
    found = [f"recipe {report['recipe']}" if report.get("recipe") not in (None, heading) else None]
    found.append(f"{report['split']} rows" if report.get("split") else None)
    found += [plural(rows, "row"), plural(len(cells.scenarios), "scenario"), plural(len(tasks), "task")]
    known = {key: finite(run.get(key)) for key in ("seconds", "rows_per_second", "parameters", "peak_memory_mb", "seed")}
    words = {
        "seconds": seconds,
        "rows_per_second": lambda value: f"{short(value)} rows/s",
        "parameters": lambda value: f"{short(value)} parameters",
        "peak_memory_mb": lambda value: f"{count(value)} MB peak memory",
        "seed": lambda value: f"seed {value:.0f}",
    }
    found += [words[key](value) for key, value in known.items() if value is not None]
    return [one for one in found if one]


def glance(cells: Cells) -> Markup:
    """A tile a target and the findings in words."""
    tiles = [one for target in cells.targets if (one := _tile(cells, target)) is not None]
    told = [tag("li", one.words, class_=one.kind) for one in findings(cells)] if cells.by_key else []
    if not cells.by_key:
        return tag("p", "The report has no cells: no row was scored.", class_="lead")
    return join(tag("div", *tiles, class_="tiles"), tag("ul", *told, class_="findings"))


def _tile(cells: Cells, target: Target) -> Markup | None:
    single = len(cells.scenarios) == 1
    whole = cells.get(cells.scenarios[0] if single else POOLED, target, "auc") or cells.get(MACRO, target, "auc")
    if whole is None:
        return None
    known = cells.known(target, "auc")
    mean = cells.value(MACRO, target, "auc")
    lines = []
    if len(known) > 1:
        lines = [_line("best", *_ends(known[0])), _line("worst", *_ends(known[-1]))]
    if mean is not None and not single:
        lines.insert(0, _line("mean of scenarios", "", reading("auc", mean)))
    bounds = interval("auc", whole.low, whole.high)
    value = reading("auc", whole.value) if whole.value is not None else "undefined"
    small = bounds or (whole.note if whole.value is None else None)
    return tag(
        "article",
        tag("h3", target.task, tag("small", space(target))),
        tag("p", tag("b", value), tag("small", "AUC" if single else "AUC, pooled"), class_="big"),
        tag("p", small, class_="soft") if small else None,
        tag("dl", *lines) if lines else None,
    )


def _ends(pair: tuple[str, Any]) -> tuple[str, str]:
    return pair[0], reading("auc", pair[1].value)


def _line(what: str, name: str, value: str) -> Markup:
    return tag("div", tag("dt", what, " " if name else None, tag("i", name, title=name) if name else None), tag("dd", value))


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
    found = reliability.read_curves(rows)
    if not found:
        return None
    figures = [panel(target.task, space(target), *_calibrated(cells, target, found[target])) for target in found]
    lead = "Predicted against observed rates in bins of similar prediction. On the diagonal, predictions can be trusted as rates."
    return Section("calibration", "Calibration", lead, panels(figures))


def _calibrated(cells: Cells, target: Target, found: reliability.Curves | Any) -> list[Markup]:
    names = reliability.chosen(found)
    keys = []
    if POOLED in found:
        keys.append(_key("pooled", POOLED, cells, target))
    keys += [_key(f"c{place}", name, cells, target) for place, name in enumerate(names)]
    left_out = len([name for name in found if name != POOLED]) - len(names)
    more = tag("p", f"{plural(left_out, 'smaller scenario')} not drawn.", class_="soft") if left_out else None
    rows = [
        [scenario(name), rate(one.predicted), rate(one.observed), count(one.n)]
        for name in ([POOLED] if POOLED in found else []) + names
        for one in found[name]
    ]
    bins = table(["Scenario", "Predicted", "Observed", "Rows"], rows, f"Bins of {target.name}")
    head = tag("tr", *(tag("th", one, scope="col") for one in ("", "Pred. / obs.", "Calibr. error")))
    legend = tag("table", tag("thead", head), tag("tbody", *keys), class_="plain keys")
    return [reliability.reliability(target, found), legend, *([more] if more else []), folded("The bins as a table", bins)]


def _key(style: str, name: str, cells: Cells, target: Target) -> Markup:
    words = tag("th", tag("i", class_=f"key {style}"), scenario(name), scope="row")
    ratio = cells.get(name, target, "pcoc")
    off = "off" if ratio is not None and off_by(ratio) is not None else None
    first = tag("td", reading("pcoc", ratio.value if ratio else None), class_=off, title=ratio and ratio.words)
    return tag("tr", words, first, tag("td", reading("ece", cells.value(name, target, "ece"))))


def _funnel(cells: Cells, data: Mapping[str, Any]) -> Section | None:
    found = funnel.flows(cells)
    parts = {name: int(value) for name in ("train", "valid", "test") if (value := finite((data.get("rows") or {}).get(name)))}
    if not found and not parts:
        return None
    split = join(tag("h3", "Rows"), funnel.split_bar(parts)) if parts else None
    shown = join(tag("h3", "From impression on, in the rows judged"), funnel.funnel(found)) if found else None
    lead = "The axis is logarithmic: the distance between two dots is the rate between them, the same in every row."
    return Section("data", "The data", lead if found else None, join(split, shown))


def _training(past: curves.History) -> Section | None:
    found = []
    if past.scores.points:
        found.append(panel("Validation score", "mean over cells", curves.score_curve(past.scores, "score", past.epochs)))
    found += [panel(one.name, "training loss", curves.loss_curve(one, past.epochs)) for one in past.losses]
    if past.weights:
        found.append(panel("Weights", "of the balancer", curves.weight_curves(past.weights, past.epochs)))
    lead = "Lines are means of neighbouring steps, bands their range. Thin vertical lines begin an epoch."
    return Section("training", "Training", lead, panels(found)) if found else None


def _numbers(report: Mapping[str, Any]) -> Markup:
    run = {key: value for key, value in (report.get("run") or {}).items() if value is not None}
    rows = [[str(key).replace("_", " "), f"{value:,}" if isinstance(value, (int, float)) else str(value)] for key, value in run.items()]
    return folded("The run in numbers", table(["What", "Value"], rows, "The run")) if rows else Markup("")
