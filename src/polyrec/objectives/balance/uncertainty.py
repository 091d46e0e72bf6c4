"""Weights learned as the noise of each task (Kendall, Gal and Cipolla, CVPR 2018)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from polyrec.declare import STRICT
from polyrec.objectives.balance.balancer import Balancer, added, register
from polyrec.objectives.objective import Terms
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class UncertaintyConfig:
    """Where the log-variances start."""

    __pydantic_config__ = STRICT
    log_variance: float = 0.0  # of every term at the start: weight exp(-log_variance)


@register("uncertainty", UncertaintyConfig)
class Uncertainty(Balancer):
    """Each term is divided by a learned variance, and the variance is paid for.

    Formula:
        sum_i exp(-s_i) L_i + s_i / 2, with s_i = log sigma_i^2: the paper's form for classification
        (its equation 10: a cross-entropy scaled by 1 / sigma^2, plus log sigma). At rest exp(s_i) = 2 L_i.

    A term without rows in a batch leaves its s_i as it is. The s_i are trained with the stage's Adam and
    learning rate.
    """

    def __init__(self, terms: Sequence[str], config: UncertaintyConfig) -> None:
        super().__init__(terms)
        self.log_variance = nn.Parameter(torch.full((len(self.terms),), float(config.log_variance)))

    def backward(
        self, terms: Terms, parameters: Sequence[nn.Parameter], *, step: int, extra: Float[Tensor, ""] | None = None
    ) -> None:
        """One backward pass through the weighted sum and the variances' price."""
        del parameters, step
        values = self.stacked(terms)
        active = values.detach() != 0
        total = ((-self.log_variance).exp() * values + 0.5 * self.log_variance * active).sum()
        added(total, extra).backward()  # type: ignore[no-untyped-call]

    @property
    def weights(self) -> Mapping[str, float]:
        """exp(-s) of each term."""
        return dict(zip(self.terms, (-self.log_variance.detach()).exp().tolist(), strict=True))
