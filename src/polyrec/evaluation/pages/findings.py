"""What a reader should know before the pictures: sentences drawn from a report's cells."""

import math
from dataclasses import dataclass
from typing import Literal

from polyrec.evaluation.figures.cells import FEW, Cells, Reading
from polyrec.evaluation.figures.wording import POOLED, count, listed, plural, reading, space
from polyrec.schema import Target

OFF = 1.1  # predicted over observed beyond this factor, and beyond its interval, is told
_MOST = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence with its weight: something to mend, something to keep in mind, or good news."""

    kind: Literal["warn", "note", "good"]
    words: str


def findings(cells: Cells) -> list[Finding]:
    """Calibration, cells worse than chance, too small or undefined; good news where there is none of it."""
    found = [*_calibration(cells), *_chance(cells)]
    if not found:
        found.append(Finding("good", _all_well(cells)))
    return [*found, *_small(cells), *_undefined(cells)]


def off_by(one: Reading) -> float | None:
    """How far predictions are from what happened, as a factor, where that is beyond doubt; else None."""
    if one.value is None or one.value <= 0 or max(one.value, 1 / one.value) < OFF:
        return None
    if one.low is not None and one.high is not None and one.low <= 1.0 <= one.high:
        return None
    if one.low is None and (one.few or _within_noise(one)):
        return None
    return one.value


def _within_noise(one: Reading) -> bool:
    """Without an interval: Poisson's 95 % around the observed count."""
    positives = one.positives or 0
    return positives > 0 and abs(math.log(one.value or 1.0)) < 1.96 / math.sqrt(positives)


def _calibration(cells: Cells) -> list[Finding]:
    found: list[tuple[float, str]] = []
    for name in (*cells.scenarios, POOLED):
        for target in cells.targets:
            one = cells.get(name, target, "pcoc")
            factor = off_by(one) if one else None
            if factor is None or (name == POOLED and len(cells.scenarios) == 1):
                continue
            where = "over all rows pooled" if name == POOLED else f"in {name}"
            how = f"{factor:.2f} times too high" if factor > 1 else f"{1 / factor:.2f} times too low"
            found.append((abs(math.log(factor)), f"{_named(target)} {where} is predicted {how}."))
    found.sort(key=lambda pair: -pair[0])
    told = [Finding("warn", words) for _, words in found[:_MOST]]
    if len(found) > _MOST:
        rest = plural(len(found) - _MOST, "more cell")
        words = f"{rest} off by more than {100 * (OFF - 1):.0f} %: see Predicted / observed below."
        told.append(Finding("warn", words))
    return told


def _chance(cells: Cells) -> list[Finding]:
    found = []
    for target in cells.targets:
        for name, one in cells.known(target, "auc"):
            high = one.high if one.high is not None else one.value
            if high is not None and high < 0.5:
                value = reading("auc", one.value)
                words = f"{_named(target)} in {name} is ranked worse than by chance (AUC {value})."
                found.append(Finding("warn", words))
    return found[:_MOST]


def _small(cells: Cells) -> list[Finding]:
    found = [
        f"{_named(target)} in {name} ({count(min(one.positives or 0, one.negatives or 0))})"
        for target in cells.targets
        for name, one in cells.known(target, "auc")
        if one.few
    ]
    if not found:
        return []
    words = f"Too small to judge (fewer than {FEW} rows of one class): {listed(found, most=3)}."
    return [Finding("note", words)]


def _undefined(cells: Cells) -> list[Finding]:
    missing = cells.undefined("auc")
    if not missing:
        return []
    names = [f"{_named(target)} in {name}" for name, target, _ in missing]
    reasons = list(dict.fromkeys(one.note or "no reason given" for _, _, one in missing))
    return [Finding("note", f"AUC undefined: {listed(names, most=3)}. Reason: {listed(reasons, most=2)}.")]


def _all_well(cells: Cells) -> str:
    if "pcoc" not in cells.metrics:
        return "No cell is ranked worse than by chance."
    return f"Predicted rates match observed ones within {100 * (OFF - 1):.0f} % (or within chance) in every cell."


def _named(target: Target) -> str:
    return target.task if target.space == "all" else f"{target.task} {space(target)}"
