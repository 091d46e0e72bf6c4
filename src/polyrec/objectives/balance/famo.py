"""Weights under which all losses fall at one rate, at the cost of a look back (Liu et al., NeurIPS 2023)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import nn

from polyrec.declare import STRICT
from polyrec.objectives.balance.balancer import Balancer, added, register
from polyrec.objectives.objective import Terms
from polyrec.shapes import Bool, Float, Tensor

_BETAS, _EPS = (0.9, 0.999), 1e-8  # of Adam


@dataclass(frozen=True, slots=True)
class FAMOConfig:
    """How fast weights move, and how strongly they are drawn back to even ones."""

    __pydantic_config__ = STRICT
    lr: Annotated[float, Gt(0.0)] = 0.025  # of xi
    decay: Annotated[float, Ge(0.0)] = 0.001  # L2 on xi


@register("famo", FAMOConfig)
class FAMO(Balancer):
    """The logarithms of the losses are balanced, by how each fell at the last step.

    Formula:
        z = softmax(xi), w_i = T c z_i / L_i, c = 1 / sum_j(z_j / L_j), held constant
        after the step, on the same batch: delta_i = log L_i - log L_i(after)
        xi <- Adam(xi, z * (delta - z . delta) + decay xi)
        so a loss that fell more than the others weighs less from then on.

    One backward pass whatever the number of terms, and a second forward pass after each step, in which a model that
    keeps running moments (`star`) and an objective that counts see the batch once more. A term without rows keeps out
    of z and c, weighs 1 and learns nothing. Ours: times T, so that losses that are alike are summed as `fixed` sums
    them.
    """

    xi: Float[Tensor, "T"]
    moments: Float[Tensor, "2 T"]
    looks: Float[Tensor, "T"]
    before: Float[Tensor, "T"]
    factors: Float[Tensor, "T"]

    def __init__(self, terms: Sequence[str], config: FAMOConfig) -> None:
        super().__init__(terms)
        self.config = config
        self.register_buffer("xi", torch.zeros(len(self.terms)))
        self.register_buffer("moments", torch.zeros(2, len(self.terms)))  # Adam's
        self.register_buffer("looks", torch.zeros(len(self.terms)))  # steps of Adam that each term has made
        self.register_buffer("before", torch.zeros(len(self.terms)))  # losses before the step
        self.register_buffer("factors", torch.ones(len(self.terms)))

    def backward(
        self, terms: Terms, parameters: Sequence[nn.Parameter], *, step: int, extra: Float[Tensor, ""] | None = None
    ) -> None:
        """One backward pass through the weighted sum."""
        del parameters, step
        values = self.stacked(terms)
        with torch.no_grad():
            self.before.copy_(values)
            active = self.before > 0
            pull = self._shares(active) / torch.where(active, self.before, 1.0)
            self.factors.copy_(torch.where(active, active.sum() * pull / pull.sum().clamp(min=1e-30), 1.0))
        added((values * self.factors).sum(), extra).backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def after(self, again: Callable[[], Terms]) -> None:
        """Move the weights by how each loss changed."""
        values = self.stacked(again())
        active = (self.before > 0) & (values > 0)
        fell = torch.where(active, self.before, 1.0).log() - torch.where(active, values, 1.0).log()
        z = self._shares(active)
        slope = z * (fell - (z * fell).sum()) + self.config.decay * self.xi
        self.looks += active
        for moment, beta, now in zip(self.moments, _BETAS, (slope, slope.square()), strict=True):
            moment.copy_(torch.where(active, moment.lerp(now, 1.0 - beta), moment))
        mean, square = (
            moment / (1.0 - beta ** self.looks.clamp(min=1)) for moment, beta in zip(self.moments, _BETAS, strict=True)
        )
        self.xi -= torch.where(active, self.config.lr * mean / (square.sqrt() + _EPS), 0.0)

    def _shares(self, active: Bool[Tensor, "T"]) -> Float[Tensor, "T"]:
        """z: the softmax over terms with rows; 0 for the others."""
        if not bool(active.any()):
            return torch.zeros_like(self.xi)
        return torch.softmax(self.xi.masked_fill(~active, -torch.inf), 0)

    @property
    def weights(self) -> Mapping[str, float]:
        """Those of the batch seen last."""
        return dict(zip(self.terms, self.factors.tolist(), strict=True))
