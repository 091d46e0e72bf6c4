"""Student's t distribution: its tails and its quantiles, for intervals from few clusters."""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

_MANY = 2000  # degrees of freedom from which the normal distribution serves


def two_sided(t: float, df: float) -> float:
    """P(|T| >= |t|) for `df` degrees of freedom.

    Formula: I_x(df / 2, 1 / 2) with x = df / (df + t²), the regularised incomplete beta function.

    Example:
        >>> round(two_sided(2.0, 10), 6), round(two_sided(1.959964, 1e9), 6)
        (0.073388, 0.05)
    """
    if df >= _MANY:
        return 2 * NormalDist().cdf(-abs(t))
    if math.isinf(t):
        return 0.0
    return _incomplete_beta(df / 2, 0.5, df / (df + t * t))


@lru_cache(maxsize=8192)
def quantile(level: float, df: int) -> float:
    """The t that holds `level` of the distribution between -t and t.

    Newton's method on log tail against log t, which is nearly a line.

    Example:
        >>> round(quantile(0.95, 10), 6)
        2.228139
    """
    if level <= 0:
        return 0.0
    t = NormalDist().inv_cdf((1 + level) / 2)
    if df >= _MANY:
        return t
    constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    for _ in range(100):
        tail = two_sided(t, df)
        density = math.exp(constant - (df + 1) / 2 * math.log1p(t * t / df))
        step = (math.log(tail) - math.log1p(-level)) * tail / (2 * density * t)
        t *= math.exp(max(-2.0, min(2.0, step)))
        if abs(step) < 1e-12:
            break
    return t


def half_width(pieces: Sequence[tuple[float, int]], level: float) -> float:
    """Half an interval around a number whose variance is a sum of estimates: sqrt(sum of t(df)² x variance).

    Each estimate has the quantile of its own degrees of freedom (Banerjee 1960): such an interval holds the truth
    at least as often as it says, where one t with averaged degrees of freedom does not when an estimate rests on
    two or three numbers.

    Example:
        >>> round(half_width([(1.0, 10)], 0.95), 4), round(half_width([(0.5, 10), (0.5, 2)], 0.95), 4)
        (2.2281, 3.4262)
    """
    return math.sqrt(sum(variance * quantile(level, df) ** 2 for variance, df in pieces if variance > 0))


def doubt(difference: float, pieces: Sequence[tuple[float, int]]) -> float:
    """The p-value of no difference: 1 - the level at which `half_width` just reaches the difference.

    Example:
        >>> round(doubt(2.2281, [(1.0, 10)]), 4), round(doubt(3.4262, [(0.5, 10), (0.5, 2)]), 4)
        (0.05, 0.05)
    """
    some = [piece for piece in pieces if piece[0] > 0]
    if not some or difference == 0:
        return float(difference == 0)
    if len(some) == 1:
        return two_sided(difference / math.sqrt(some[0][0]), some[0][1])
    low, high = math.log(1e-15), 0.0
    for _ in range(40):
        middle = (low + high) / 2
        wide = half_width(some, -math.expm1(middle)) > abs(difference)
        low, high = (middle, high) if wide else (low, middle)
    return math.exp(high)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), by the continued fraction where it converges fast, else by symmetry."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) / a * _fraction(a, b, x)


def _fraction(a: float, b: float, x: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + ...))), evaluated forwards (Lentz's method)."""
    upper, lower, found = 1.0, 0.0, 1.0
    for step in range(1, 1000):
        half = step // 2
        if step % 2:
            part = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            part = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        lower = 1 / (1 + part * lower)
        upper = 1 + part / upper
        found *= upper * lower
        if abs(upper * lower - 1) < 1e-14:
            break
    return 1 / found
