"""Near the mean gradient, the direction that is best for the term worst off (Liu et al., NeurIPS 2021)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Annotated

import numpy as np
from annotated_types import Ge, Lt

from polyrec.declare import STRICT
from polyrec.objectives.balance.balancer import register
from polyrec.objectives.balance.combined import Combined, Numbers
from polyrec.objectives.balance.hull import nearest

Mixture = Callable[[float], tuple[Numbers, float]]  # by the length asked for: v, and the length that it has
LOOKS = 40  # at most, for the length of the mixture; some 6 are usual
LEAST = 1e-6  # length below which a mixture counts as 0, against gradients whose mean square length is 1


@dataclass(frozen=True, slots=True)
class CAGradConfig:
    """How far from the mean gradient the direction may be."""

    __pydantic_config__ = STRICT
    c: Annotated[float, Ge(0.0), Lt(1.0)] = 0.4  # of the mean gradient's length; 0: the plain sum


@register("cagrad", CAGradConfig)
class CAGrad(Combined):
    """The direction within a ball around the mean gradient whose least inner product with a gradient is greatest.

    Formula:
        d = argmax min_i g_i . d over |d - g_0| <= c |g_0|, g_0 = mean_i(g_i), g on the shared dense weights (see
        `combined`). By duality d = g_0 + c |g_0| g_v / |g_v| with g_v = sum_i v_i g_i and
        v = argmin g_v . g_0 + c |g_0| |g_v| over v >= 0 that sum to 1. Applied is T d:
        w_i = 1 + T c |g_0| v_i / |g_v|.

    Ours: times T, so that c = 0 is `fixed`; the minimum itself, not some steps towards it.
    """

    def __init__(self, terms: Sequence[str], config: CAGradConfig) -> None:
        super().__init__(terms)
        self.config = config

    def weigh(self, inner: Numbers) -> Numbers:
        """See above."""
        return averse(inner, self.config.c)


def averse(inner: Numbers, c: float) -> Numbers:
    """Weights of the gradients in T d, from their inner products.

    For a length s, `min g_v . g_0 + r (|g_v|^2 / s + s) / 2` over v, with r = c |g_0|, is met by the point nearest to 0
    in the hull of g_i + (s / r) g_0. At the s for which |g_v| = s it is the v looked for; s is found between bounds.

    Example:
        >>> averse(np.eye(2), 0.5).round(4).tolist()  # both alike: d is g_0, longer by half
        [1.5, 1.5]
    """
    count = len(inner)
    inner = inner * (count / np.trace(inner))
    along = inner.mean(1)  # g_i . g_0
    square = float(along.mean())  # |g_0|^2
    if not c or square <= LEAST**2:
        return np.ones(count)
    radius = c * sqrt(square)

    def mixture(length: float) -> tuple[Numbers, float]:
        shift = length / radius
        v = nearest(inner + shift * (along[:, None] + along[None]) + shift**2 * square)
        return v, max(sqrt(max(float(v @ inner @ v), 0.0)), LEAST**2)

    v, length = _settled(mixture, _least(inner), sqrt(inner.diagonal().max()))
    return np.asarray(1.0 + count * radius * v / length)


def _least(inner: Numbers) -> float:
    v = nearest(inner)
    return max(sqrt(max(float(v @ inner @ v), 0.0)), LEAST)


def _settled(mixture: Mixture, low: float, high: float) -> tuple[Numbers, float]:
    """The mixture whose length is that which was asked for, by false position on logarithms (the Illinois rule)."""
    left, right, above, below, last = log(low), log(high), 0.0, 0.0, 0
    place = left
    for _ in range(LOOKS):
        v, length = mixture(exp(place))
        miss = log(length) - place  # falls with `place`
        if abs(miss) < 1e-5 or right - left < 1e-7:
            break
        if miss > 0:
            left, above, below, last = place, miss, below / 2 if last > 0 else below, 1
        else:
            right, below, above, last = place, miss, above / 2 if last < 0 else above, -1
        if not above:  # nothing shorter than the shortest
            break
        place = right if not below else (left * below - right * above) / (below - above)
    return v, max(exp(place), length)
