"""What every metric answers: a value with its interval, or the reason why there is none."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with an interval. Undefined is `value = None` with a note that says why, never NaN.

    Example:
        >>> Estimate.of(0.71, 0.69, 0.73)
        Estimate(value=0.71, low=0.69, high=0.73, note=None)
        >>> Estimate.undefined("no rows").note
        'no rows'
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str | None = None

    @classmethod
    def of(cls, value: float, low: float | None = None, high: float | None = None, note: str = "") -> "Estimate":
        """A value; one that is not finite becomes undefined, with a note."""
        if not math.isfinite(value):
            return cls.undefined("; ".join(filter(None, [note, "the value is not finite"])))
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            low = high = None
        return cls(value, low, high, note or None)

    @classmethod
    def undefined(cls, why: str) -> "Estimate":
        """No value, for this reason."""
        return cls(None, note=why)

    def noted(self, *notes: str) -> "Estimate":
        """The same estimate with more said about it."""
        text = "; ".join(one for one in (self.note or "", *notes) if one)
        return replace(self, note=text or None)


def missing_class(rows: int, positives: int) -> str:
    """Why a ranking of these rows is undefined; empty where it is defined.

    Example:
        >>> missing_class(0, 0), missing_class(5, 0), missing_class(5, 5), missing_class(5, 2)
        ('no rows', 'no positives', 'no negatives', '')
    """
    if rows == 0:
        return "no rows"
    if positives == 0:
        return "no positives"
    return "no negatives" if positives == rows else ""
