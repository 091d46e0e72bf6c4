"""The first look at a report: a tile a target, then the findings in words."""

from polyrec.evaluation.figures.cells import Cells, Reading
from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.figures.wording import MACRO, POOLED, interval, reading, space
from polyrec.evaluation.pages.findings import findings
from polyrec.schema import Target


def glance(cells: Cells) -> Markup:
    """Tiles and findings; a sentence where nothing was scored."""
    if not cells.by_key:
        return tag("p", "The report has no cells: no row was scored.", class_="lead")
    tiles = [one for target in cells.targets if (one := _tile(cells, target)) is not None]
    told = [tag("li", one.words, class_=one.kind) for one in findings(cells)]
    return join(tag("div", *tiles, class_="tiles"), tag("ul", *told, class_="findings"))


def _tile(cells: Cells, target: Target) -> Markup | None:
    single = len(cells.scenarios) == 1
    whole = cells.get(cells.scenarios[0] if single else POOLED, target, "auc") or cells.get(MACRO, target, "auc")
    if whole is None:
        return None
    value = "undefined" if whole.value is None else reading("auc", whole.value)
    small = interval("auc", whole.low, whole.high) or (whole.note if whole.value is None else None)
    lines = _lines(cells, target)
    return tag(
        "article",
        tag("h3", target.task, tag("small", space(target))),
        tag("p", tag("b", value), tag("small", "AUC" if single else "AUC, pooled"), class_="big"),
        tag("p", small, class_="soft") if small else None,
        tag("dl", *lines) if lines else None,
    )


def _lines(cells: Cells, target: Target) -> list[Markup]:
    if len(cells.scenarios) == 1:
        return []
    lines = []
    mean = cells.value(MACRO, target, "auc")
    if mean is not None:
        lines.append(tag("div", tag("dt", "mean of scenarios"), tag("dd", reading("auc", mean))))
    judged = cells.judged(target, "auc")
    if len(judged) > 1:
        among = " judged" if len(judged) < len(cells.known(target, "auc")) else ""  # the mean is over all
        lines += [_line(f"best{among}", judged[0]), _line(f"worst{among}", judged[-1])]
    return lines


def _line(what: str, one: tuple[str, Reading]) -> Markup:
    name, found = one
    return tag("div", tag("dt", f"{what} ", tag("i", name, title=name)), tag("dd", reading("auc", found.value)))
