"""Which information flows each scenario keeps, a picture a head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyrec.evaluation.figures.markup import Markup, tag
from polyrec.evaluation.figures.palette import step
from polyrec.evaluation.figures.svg import drawing, label, shortened
from polyrec.evaluation.figures.wording import finite

_NAME, _WIDE, _HIGH, _TOP = 104.0, 108.0, 34.0, 40.0
_MOST = 40  # scenarios shown
Key = tuple[str, str, str]  # head, scenario, flow


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow of one cell."""

    kept: float
    change: float | None

    @property
    def words(self) -> str:
        """What happens to AUC without it, or with it."""
        if self.change is None:
            return "AUC undefined"
        return f"{'cut' if self.kept > 0.5 else 'back'} {self.change:+.4f}".replace("-", "−")


def read_flows(entries: Sequence[Mapping[str, Any]]) -> dict[Key, Flow]:
    """The flows of a report by head, scenario and flow; entries that are no flow are left out."""
    found: dict[Key, Flow] = {}
    for one in entries:
        kept = finite(one.get("kept"))
        if kept is not None:
            key = (str(one.get("head")), str(one.get("scenario")), str(one.get("flow")))
            found[key] = Flow(kept, finite(one.get("auc_change")))
    return found


def flow_pictures(flows: Mapping[Key, Flow]) -> dict[str, Markup]:
    """A picture for each head: scenarios down, flows across, shaded by the share of rows that keep them."""
    heads, names, kinds = (list(dict.fromkeys(key[place] for key in flows)) for place in range(3))
    return {head: _picture(head, names[:_MOST], kinds, flows) for head in heads}


def _picture(head: str, names: Sequence[str], kinds: Sequence[str], flows: Mapping[Key, Flow]) -> Markup:
    marks: list[Markup] = []
    for column, kind in enumerate(kinds):
        scenario_unit, _, task_unit = kind.partition(",")
        middle = _NAME + (column + 0.5) * _WIDE
        marks.append(label(middle, 14, f"{_own(scenario_unit)} scenario", anchor="middle", style="soft"))
        marks.append(label(middle, 29, f"{_own(task_unit)} task", anchor="middle", style="soft"))
    for row, name in enumerate(names):
        y = _TOP + row * _HIGH
        marks.append(label(_NAME - 8, y + _HIGH / 2 + 3, shortened(name, _NAME - 12), anchor="end"))
        for column, kind in enumerate(kinds):
            one = flows.get((head, name, kind))
            if one is not None:
                marks += _cell(_NAME + column * _WIDE, y, one, f"{name}, {head}, {kind}")
    kept = sum(flows[head, name, kind].kept > 0.5 for name in names for kind in kinds if (head, name, kind) in flows)
    words = f"{kept} of {len(names) * len(kinds)} flows are kept by most rows."
    height = _TOP + len(names) * _HIGH
    return drawing(_NAME + len(kinds) * _WIDE, height, f"Information flows kept for {head}", words, *marks)


def _own(unit: str) -> str:
    return "shared" if unit == "shared" else "own"


def _cell(x: float, y: float, one: Flow, where: str) -> list[Markup]:
    place = step(one.kept)
    hint = f"{where}: kept by {one.kept:.1%} of the rows; {one.words}"
    rect = tag(
        "rect",
        tag("title", hint),
        x=x + 2,
        y=y + 2,
        width=_WIDE - 4,
        height=_HIGH - 4,
        rx=4,
        style=f"fill:var(--s{place})",
    )
    ink = f"fill:var(--s{place}t);stroke:none"
    middle = x + _WIDE / 2
    share = "kept" if one.kept > 0.995 else "pruned" if one.kept < 0.005 else f"kept {one.kept:.0%}"
    texts = [
        tag("text", words, x=middle, y=y + at, text_anchor="middle", style=f"{ink};font-size:{size}px")
        for words, at, size in ((share, 15.0, 11.5), (one.words, 27.0, 10.0))
    ]
    return [rect, *texts]
