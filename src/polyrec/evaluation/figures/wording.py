"""Numbers and names as a reader wants them: grouped thousands, percentages, fixed decimals."""

import math
from typing import Any

from polyrec.schema import ALL, Target

POOLED, MACRO = "*", "macro"
TITLES = {
    "auc": "AUC",
    "gauc": "GAUC",
    "log_loss": "Log-loss",
    "ne": "Normalised entropy",
    "ece": "Calibration error",
    "pcoc": "Predicted / observed",
    "share_of_gain": "Share of the possible gain",
}
LOWER_IS_BETTER = ("log_loss", "ne", "ece")
_DECIMALS = {"pcoc": 2}


def count(value: float | None) -> str:
    """A whole number with grouped thousands.

    Example:
        >>> count(1318961)
        '1,318,961'
    """
    return "–" if value is None else f"{value:,.0f}"


def short(value: float | None) -> str:
    """A count in at most four digits.

    Example:
        >>> short(1318961), short(12345), short(999), short(2.5e9)
        ('1.32 M', '12.3 k', '999', '2.5 G')
    """
    if value is None:
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g} {unit}" if abs(value) < size * 999.5 else f"{value / size:.0f} {unit}"
    return f"{value:.3g}"


def rate(value: float | None) -> str:
    """A share as a percentage with about three digits.

    Example:
        >>> rate(0.00813), rate(0.365), rate(0.0000021), rate(0.0)
        ('0.813 %', '36.5 %', '0.00021 %', '0 %')
    """
    if value is None:
        return "–"
    share = 100 * value
    if share == 0:
        return "0 %"
    digits = max(0, 2 - math.floor(math.log10(abs(share))))
    return f"{share:.{min(digits, 3 if abs(share) >= 0.01 else 5)}f} %"


def reading(metric: str, value: float | None) -> str:
    """A metric's value: four decimals, two for predicted over observed, three digits where it is tiny.

    Example:
        >>> reading("auc", 0.86251), reading("pcoc", 1.318), reading("ece", 0.00042), reading("auc", None)
        ('0.8625', '1.32', '0.00042', '–')
    """
    if value is None:
        return "–"
    if 0 < abs(value) < 0.001:
        return f"{value:.5f}" if abs(value) >= 1e-4 else f"{value:.1e}"
    return f"{value:.{_DECIMALS.get(metric, 4)}f}"


def interval(metric: str, low: float | None, high: float | None) -> str:
    """Both ends of an interval, empty where there is none.

    Example:
        >>> interval("auc", 0.86, 0.865)
        '0.8600 to 0.8650'
    """
    return "" if low is None or high is None else f"{reading(metric, low)} to {reading(metric, high)}"


def seconds(value: float) -> str:
    """A duration.

    Example:
        >>> seconds(61.2), seconds(3.4), seconds(7322)
        ('1 min 1 s', '3.4 s', '2 h 2 min')
    """
    if value < 60:
        return f"{value:.1f} s"
    if value < 3600:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{int(value // 3600)} h {int(value % 3600 // 60)} min"


def space(target: Target) -> str:
    """Over which rows a target is judged.

    Example:
        >>> space(Target("buy")), space(Target("buy", "click"))
        ('over all impressions', 'given click')
    """
    return "over all impressions" if target.space == ALL else f"given {target.space}"


def scenario(name: str) -> str:
    """A scenario's name as a heading; the two that stand for all of them in words."""
    return {POOLED: "All rows pooled", MACRO: "Mean of scenarios"}.get(name, name)


def title(metric: str) -> str:
    """A metric's name as a heading."""
    return TITLES.get(metric, metric)


def plural(amount: int, word: str) -> str:
    """A count with its noun.

    Example:
        >>> plural(1, "scenario"), plural(1200, "row")
        ('1 scenario', '1,200 rows')
    """
    return f"{amount:,} {word}" if amount == 1 else f"{amount:,} {word}s"


def listed(names: list[str], most: int = 5) -> str:
    """Names in a sentence, the rest counted.

    Example:
        >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], most=1)
        ('a, b and c', 'a and 2 more')
    """
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def finite(value: Any) -> float | None:
    """A number, or None for whatever is not one (null, NaN, infinity)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
