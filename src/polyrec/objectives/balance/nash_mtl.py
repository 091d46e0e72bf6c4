"""The terms bargain for the direction (Nash-MTL: Navon et al., ICML 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Gt

from polyrec.declare import STRICT
from polyrec.objectives.balance.balancer import register
from polyrec.objectives.balance.combined import Combined, Numbers

STEPS = 100  # of Newton's method at most; some 10 are usual


@dataclass(frozen=True, slots=True)
class NashMTLConfig:
    """How far weights may go where gradients point against each other."""

    __pydantic_config__ = STRICT
    ridge: Annotated[float, Gt(0.0)] = 1e-3  # added to the squares of all gradients, brought to length 1


@register("nash_mtl", NashMTLConfig)
class NashMTL(Combined):
    """Weights of Nash's bargaining solution: the direction whose product of gains is greatest.

    Formula:
        w > 0 with (G G^T w)_i = 1 / w_i for every i; the rows of G are the gradients of the shared dense weights (see
        `combined`), over the root of their mean square length m. The direction sum_i w_i g_i makes
        sum_i log(g_i . d) greatest over a ball, whatever the scale of each loss: a loss times 1000 gets its weight over
        1000, and the direction is the same.

    With u_i = w_i |g_i| / m and R the cosines of the gradients, the equations say that
    `u^T (R + ridge) u / 2 - sum_i log u_i` is least. That is strictly convex, and damped Newton steps find it: ours,
    where the paper solves a sequence of convex problems. The ridge keeps |u| at (T / ridge)^(1/2) or less, since
    gradients that point against each other would let it grow without end. Ours too: m, with which orthogonal gradients
    of one length are summed as `fixed` sums them.
    """

    def __init__(self, terms: Sequence[str], config: NashMTLConfig) -> None:
        super().__init__(terms)
        self.config = config

    def weigh(self, inner: Numbers) -> Numbers:
        """See above."""
        return bargain(inner, self.config.ridge)


def bargain(inner: Numbers, ridge: float) -> Numbers:
    """The weights from the inner products of gradients none of which is 0.

    Example:
        >>> bargain(np.diag([1.0, 4.0]), 1e-9).round(4).tolist()  # m / length, with m^2 = 2.5
        [1.5811, 0.7906]
    """
    length = np.sqrt(inner.diagonal())
    cosines = inner / np.outer(length, length) + ridge * np.eye(len(inner))
    u = np.ones(len(inner))  # what it is, but for the ridge, for orthogonal gradients
    for _ in range(STEPS):
        slope = cosines @ u - 1.0 / u
        change = np.linalg.solve(cosines + np.diag(u**-2), slope)
        decrement = float(np.sqrt(max(slope @ change, 0.0)))
        # In this norm a step shorter than 1 stays above 0; near the end, whole steps square the error.
        u = u - change / (1.0 + decrement if decrement > 0.25 else 1.0)
        if decrement < 1e-9:
            break
    return np.asarray(u / length * np.sqrt((length**2).mean()))
