"""Weights by how fast each loss has been falling (dynamic weight average: Liu, Johns and Davison, CVPR 2019)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import nn

from polyrec.declare import STRICT
from polyrec.objectives.balance.balancer import Balancer, added, register
from polyrec.objectives.objective import Terms
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class DWAConfig:
    """How even the weights are, and how often they change."""

    __pydantic_config__ = STRICT
    temperature: Annotated[float, Gt(0.0)] = 2.0  # more: more even
    every: Annotated[int, Ge(1)] = 100  # steps of a period


@register("dwa", DWAConfig)
class DWA(Balancer):
    """Losses that fall more slowly than the others weigh more.

    Formula, with L_i(p) the mean loss of period p:
        r_i = L_i(p - 1) / L_i(p - 2),   w_i = T exp(r_i / temperature) / sum_j exp(r_j / temperature)
        and 1 in the first two periods.

    Ours: a period is `every` steps, where the paper has epochs, of which a large log sees few. Means are over the
    batches in which a term has rows; a period in which it has none leaves its r at 1.
    """

    factors: Float[Tensor, "T"]
    sums: Float[Tensor, "T"]
    counts: Float[Tensor, "T"]
    last: Float[Tensor, "T"]

    def __init__(self, terms: Sequence[str], config: DWAConfig) -> None:
        super().__init__(terms)
        self.config = config
        self.register_buffer("factors", torch.ones(len(self.terms)))
        self.register_buffer("sums", torch.zeros(len(self.terms)))  # of this period's losses
        self.register_buffer("counts", torch.zeros(len(self.terms)))  # of its batches with rows
        self.register_buffer("last", torch.zeros(len(self.terms)))  # mean loss of the period before; 0: not known

    def backward(
        self, terms: Terms, parameters: Sequence[nn.Parameter], *, step: int, extra: Float[Tensor, ""] | None = None
    ) -> None:
        """One backward pass through the weighted sum; at the end of a period the weights move."""
        del parameters
        values = self.stacked(terms)
        added((values * self.factors).sum(), extra).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.sums += values
            self.counts += values != 0
            if (step + 1) % self.config.every == 0:
                self._turn()

    def _turn(self) -> None:
        """End a period."""
        seen = self.counts > 0
        mean = self.sums / self.counts.clamp(min=1)
        known = seen & (self.last > 0)
        ratio = torch.where(known, mean / torch.where(known, self.last, 1.0), 1.0)
        if bool(known.any()):
            self.factors.copy_(len(self.terms) * torch.softmax(ratio / self.config.temperature, 0))
        self.last.copy_(torch.where(seen, mean, self.last))
        self.sums.zero_()
        self.counts.zero_()

    @property
    def weights(self) -> Mapping[str, float]:
        """As they are for the next batch."""
        return dict(zip(self.terms, self.factors.tolist(), strict=True))
