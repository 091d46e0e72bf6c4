"""The shortest convex combination of the gradients: no term is worse off (Sener and Koltun, NeurIPS 2018)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyrec.declare import STRICT
from polyrec.objectives.balance.balancer import register
from polyrec.objectives.balance.combined import Combined, Numbers
from polyrec.objectives.balance.hull import nearest


@dataclass(frozen=True, slots=True)
class MGDAConfig:
    """Whether gradients are brought to one length first."""

    __pydantic_config__ = STRICT
    normalise: Literal["none", "norm"] = "none"


@register("mgda", MGDAConfig)
class MGDA(Combined):
    """Weights of the point nearest to 0 in the hull of the terms' gradients.

    Formula:
        w = T argmin |sum_i w_i g_i|^2 over w >= 0 that sum to 1, g_i on the shared dense weights (see `combined`).
        For the combination d, g_i . d >= |d|^2 for every i: every loss falls along -d, or d = 0 and none can without
        another rising. With `normalise = "norm"` the hull is that of g_i / |g_i|, and weights are w_i / |g_i|, scaled
        to sum to T.

    The shortest combination leans to the shortest gradient: where one term's is far smaller than the others', that term
    decides nearly alone, and "norm" is what keeps the others in. Ours: times T, so that gradients that are alike are
    summed as `fixed` sums them; the point itself, not some steps of Frank and Wolfe's.
    """

    def __init__(self, terms: Sequence[str], config: MGDAConfig) -> None:
        super().__init__(terms)
        self.config = config

    def weigh(self, inner: Numbers) -> Numbers:
        """See above."""
        return shares(inner, normed=self.config.normalise == "norm")


def shares(inner: Numbers, *, normed: bool = False) -> Numbers:
    """The weights, T in all, from the inner products of gradients none of which is 0.

    Example:
        >>> shares(np.array([[1.0, 0.0], [0.0, 4.0]])).round(4).tolist()
        [1.6, 0.4]
        >>> shares(np.array([[1.0, 0.0], [0.0, 4.0]]), normed=True).round(4).tolist()  # 1/2 over 1, 1/2 over 2
        [1.3333, 0.6667]
    """
    length = np.sqrt(inner.diagonal()) if normed else np.ones(len(inner))
    found = nearest(inner / np.outer(length, length)) / length
    return np.asarray(found * (len(inner) / found.sum()))
