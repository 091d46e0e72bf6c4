"""Student's t distribution: its tails and its quantiles, for intervals from few clusters."""

import math
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

    Example:
        >>> round(quantile(0.95, 10), 6)
        2.228139
    """
    if df >= _MANY:
        return NormalDist().inv_cdf((1 + level) / 2)
    low, high = 0.0, 1.0
    while two_sided(high, df) > 1 - level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, df) > 1 - level else (low, middle)
    return high


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
