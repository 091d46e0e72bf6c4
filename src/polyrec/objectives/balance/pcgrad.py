"""Gradients that conflict are projected onto each other's normal plane (Yu et al., NeurIPS 2020)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from polyrec.declare import STRICT
from polyrec.objectives.balance.balancer import Balancer, register
from polyrec.objectives.balance.combined import Numbers, combine
from polyrec.objectives.objective import Terms
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class PCGradConfig:
    """What decides the order of the projections."""

    __pydantic_config__ = STRICT
    seed: int = 0


@register("pcgrad", PCGradConfig)
class PCGrad(Balancer):
    """Each task's gradient loses its part against every other task's, in random order; then they are summed.

    Formula:
        for every other j in random order: if g_i . g_j < 0 then g_i <- g_i - (g_i . g_j / |g_j|^2) g_j,
        with the original g_j. The g are the gradients of the shared dense weights (see `shared.together`), as
        one vector.

    Weights of one term take its gradient as it is. Embedding tables with sparse gradients are summed
    without projection: most of their rows belong to a handful of impressions, and a projection would spread
    each batch's gradient over the rows of all tasks.
    """

    def __init__(self, terms: Sequence[str], config: PCGradConfig) -> None:
        super().__init__(terms)
        self.config = config

    def backward(
        self, terms: Terms, parameters: Sequence[nn.Parameter], *, step: int, extra: Float[Tensor, ""] | None = None
    ) -> None:
        """One backward pass a term."""
        orders = self._orders(step)
        combine(terms, parameters, lambda inner: mixture(inner, orders).sum(0), tables=False)
        if extra is not None:
            extra.backward()  # type: ignore[no-untyped-call]

    @property
    def weights(self) -> Mapping[str, float]:
        """Every term counts once; what conflicts is cut from the gradients."""
        return dict.fromkeys(self.terms, 1.0)

    def _orders(self, step: int) -> list[list[int]]:
        """For each task the others, in an order drawn from (seed, step)."""
        generator = torch.Generator().manual_seed((self.config.seed << 32) ^ step)
        count = len(self.terms)
        drawn = [torch.randperm(count, generator=generator).tolist() for _ in range(count)]
        return [[other for other in order if other != task] for task, order in enumerate(drawn)]


def mixture(inner: Numbers, orders: Sequence[Sequence[int]]) -> Numbers:
    """What each projected gradient takes from each original, from the originals' inner products.

    Example:
        >>> mixture(np.array([[1.0, -1.0], [-1.0, 2.0]]), [[1], [0]]).tolist()  # of (1, 0) and (-1, 1)
        [[1.0, 0.5], [1.0, 1.0]]
    """
    found = np.eye(len(inner))
    for task, order in enumerate(orders):
        for other in order:
            square = inner[other, other]
            conflict = min(float(found[task] @ inner[other]), 0.0)
            found[task, other] -= conflict / square if square > 0 else 0.0
    return found
