"""Values to coordinates: linear and logarithmic axes with round ticks."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """`low..high` of the data onto `start..end` of the drawing; `log` for positive values only.

    Example:
        >>> Scale(1, 100, 0, 50, log=True)(10)
        25.0
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The coordinate of a value; values outside are drawn at the edge."""
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values within the axis: about `count`, or the powers of ten of a log axis."""
        return self._decades(count) if self.log else self._round(count)

    def _decades(self, count: int) -> list[float]:
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        every = max(1, math.ceil((last - first + 1) / count))
        found = [10.0**power for power in range(first, last + 1, every)]
        if len(found) >= 2:
            return found
        steps = [lead * 10.0**power for power in range(first - 1, last + 1) for lead in (1, 2, 5)]
        found = [step for step in steps if self.low <= step <= self.high]
        return found if len(found) >= 2 else self._round(count)

    def _round(self, count: int) -> list[float]:
        step = _round_step((self.high - self.low) / max(count, 1))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [place * step for place in range(first, last + 1)]


def widened(values: Iterable[float], *, share: float = 0.08, least: float = 0.0) -> tuple[float, float]:
    """The range of the values with some air; never narrower than `least`, never empty.

    Example:
        >>> widened([1.0, 2.0], share=0.5)
        (0.5, 2.5)
    """
    known = list(values)
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    room = max((high - low) * share, (least - (high - low)) / 2, abs(high) * 1e-6, 1e-12)
    return low - room, high + room


def tick_words(ticks: Sequence[float], least: int = 0) -> list[str]:
    """Ticks as text, all with as many decimals as the finest of them needs.

    Example:
        >>> tick_words([0.86, 0.865, 0.87]), tick_words([-0.5, 0.0, 0.5], least=2), tick_words([0.0, 500.0])
        (['0.860', '0.865', '0.870'], ['−0.50', '0', '0.50'], ['0', '500'])
    """
    needed = (len(f"{tick:.6f}".rstrip("0").partition(".")[2]) for tick in ticks)
    decimals = max([least, *needed])
    return ["0" if abs(tick) < 1e-12 else f"{tick:.{decimals}f}".replace("-", "−") for tick in ticks]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(max(rough, 1e-12)))
    return next(lead * power for lead in (1, 2, 5, 10) if lead * power >= rough * 0.8)
