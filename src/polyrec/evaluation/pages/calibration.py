"""The calibration of one target: its curves, what they amount to, and the bins as a table."""

from collections.abc import Mapping, Sequence

from polyrec.evaluation.figures.cells import Cells
from polyrec.evaluation.figures.markup import Markup, tag
from polyrec.evaluation.figures.reliability import Bin, chosen, reliability
from polyrec.evaluation.figures.wording import POOLED, count, plural, rate, reading, scenario
from polyrec.evaluation.pages.findings import off_by
from polyrec.evaluation.pages.shell import folded, table
from polyrec.schema import Target


def calibrated(cells: Cells, target: Target, curves: Mapping[str, Sequence[Bin]]) -> list[Markup]:
    """Picture, key with predicted over observed and calibration error by scenario, folded bins."""
    names = chosen(curves)
    styles = {POOLED: "pooled"} if POOLED in curves else {}
    styles |= {name: f"c{place}" for place, name in enumerate(names)}
    heads = [tag("th", one, scope="col") for one in ("", "Pred. / obs.", "Calibr. error")]
    keys = [_key(style, name, cells, target) for name, style in styles.items()]
    key = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *keys), class_="plain keys")
    rows = [
        [scenario(name), rate(one.predicted), rate(one.observed), count(one.n)]
        for name in styles
        for one in curves[name]
    ]
    bins = table(["Scenario", "Predicted", "Observed", "Rows"], rows, f"Bins of {target.name}")
    found = [reliability(target, curves), key, folded("The bins as a table", bins)]
    left_out = len([name for name in curves if name not in styles])
    if left_out:
        found.insert(2, tag("p", f"{plural(left_out, 'smaller scenario')} not drawn.", class_="soft"))
    return found


def _key(style: str, name: str, cells: Cells, target: Target) -> Markup:
    full = name if len(name) > 18 else None
    words = tag("th", tag("i", class_=f"key {style}"), scenario(name), scope="row", title=full)
    ratio = cells.get(name, target, "pcoc")
    if ratio is None:
        first = tag("td", "–")
    else:
        off = "off" if off_by(ratio) is not None else None
        first = tag("td", reading("pcoc", ratio.value), class_=off, title=ratio.support)
    return tag("tr", words, first, tag("td", reading("ece", cells.value(name, target, "ece"))))
