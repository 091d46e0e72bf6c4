"""What a data set is like, in a sentence, from what a finished cell has left."""

import json
from pathlib import Path

from polyrec.bench.results import Line
from polyrec.evaluation.groups import MACRO, POOLED
from polyrec.schema import Target

_PARTS = {"rows of train": "of training", "rows of valid": "of validation", "rows of test": "of test"}


def described(line: Line, out: Path) -> str:
    """Rows of each part, scenarios, and each target's share of positives; what is not known is left out.

    Args:
        line: of a finished seed: test rows and positives are counted in its metrics.
        out: the suite's folder: rows of the other parts are in the data.json of the cell's run.

    Example:
        >>> counts = {"task": "click", "space": "all", "metric": "auc"}
        >>> home = {**counts, "scenario": "home", "n": 300, "positives": 60}
        >>> described({"cell": "world/pooled/seed-0", "metrics": [home, {**home, "scenario": "*"}]}, Path("none"))
        'Data: 1 scenario with 300 test rows; positive test rows: click 20 %.'
    """
    counts = [one for one in line["metrics"] if one["metric"] == "auc" and one.get("n") and "positives" in one]
    sizes: dict[str, int] = {}
    for one in counts:
        if one["scenario"] not in (POOLED, MACRO):
            sizes[one["scenario"]] = max(sizes.get(one["scenario"], 0), one["n"])
    rates = [
        f"{target_name(Target(one['task'], one['space']))} {100 * one['positives'] / one['n']:.3g} %"
        for one in counts
        if one["scenario"] == POOLED
    ]
    said = [_rows(out / "runs" / line["cell"] / "data.json"), _scenarios(list(sizes.values()))]
    said.append(f"positive test rows: {', '.join(rates)}" if rates else "")
    known = "; ".join(one for one in said if one)
    return f"Data: {known}." if known else ""


def target_name(target: Target) -> str:
    """How a target is called on the page.

    Example:
        >>> target_name(Target("buy", "click")), target_name(Target("click"))
        ('buy given click', 'click')
    """
    return target.task if target.space == "all" else f"{target.task} given {target.space}"


def _rows(path: Path) -> str:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        known = [f"{about[key]:,} rows {words}" for key, words in _PARTS.items() if key in about]
    except (OSError, ValueError):  # of an older run, or taken away
        return ""
    return ", ".join(known)


def _scenarios(sizes: list[int]) -> str:
    if not sizes:
        return ""
    least, most = min(sizes), max(sizes)
    rows = f"{most:,}" if least == most else f"{least:,} to {most:,}"
    return f"{len(sizes)} scenario{'s' if sizes[1:] else ''} with {rows} test rows"
