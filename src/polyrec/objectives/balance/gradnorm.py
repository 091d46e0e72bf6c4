"""Weights that keep the tasks' gradients in step with their rates of learning (Chen et al., ICML 2018)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import nn

from polyrec.declare import STRICT
from polyrec.objectives.balance.balancer import Balancer, added, register
from polyrec.objectives.balance.shared import last_shared
from polyrec.objectives.objective import Terms
from polyrec.shapes import Bool, Float, Int, Tensor

_LEAST = 1e-3  # below it a weight would stop its task for good


@dataclass(frozen=True, slots=True)
class GradNormConfig:
    """How hard tasks that lag are pushed, and how fast the weights move."""

    __pydantic_config__ = STRICT
    alpha: Annotated[float, Ge(0.0)] = 0.5  # 0: equal gradient norms; more: lagging tasks get more
    lr: Annotated[float, Gt(0.0)] = 0.025  # of the weights
    every: Annotated[int, Ge(1)] = 1  # steps between two looks at the norms; each look costs a pass to W a term


@register("gradnorm", GradNormConfig)
class GradNorm(Balancer):
    """Weights descend on the distance between each task's gradient norm and its own target.

    Formula:
        G_i = |grad_W w_i L_i|, on W, the last shared layer; r_i = (L_i / L_i(0)) / mean_j(L_j / L_j(0));
        target_i = mean_j(G_j) r_i^alpha, held constant; loss of the weights: sum_i |G_i - target_i|.
        Since G_i = w_i g_i with g_i = |grad_W L_i|, its gradient is sign(G_i - target_i) g_i: no second
        derivative is needed. After each step the weights are scaled to sum to the number of tasks.

    Ours: the step is divided by mean_j(G_j), so that `lr` means the same for every scale of the losses, and a
    weight stays at or above 0.001. A term without rows in a batch keeps out of every mean, and its weight
    changes only by the scaling. L_i(0) is the loss of the first batch in which term i has rows.

    Raises:
        ConfigError: at the first batch with rows of two terms, when no two terms share a weight matrix.
    """

    factors: Float[Tensor, "T"]
    initial: Float[Tensor, "T"]
    layer: Int[Tensor, ""]

    def __init__(self, terms: Sequence[str], config: GradNormConfig) -> None:
        super().__init__(terms)
        self.config = config
        self.register_buffer("factors", torch.ones(len(self.terms)))
        self.register_buffer("initial", torch.zeros(len(self.terms)))  # 0: not seen yet
        self.register_buffer("layer", torch.tensor(-1))  # place of W among the parameters; -1: not found yet
        self._place: int | None = None

    def backward(
        self, terms: Terms, parameters: Sequence[nn.Parameter], *, step: int, extra: Float[Tensor, ""] | None = None
    ) -> None:
        """The norms at W first, then one backward pass through the weighted sum; then the weights move."""
        values = self.stacked(terms)
        place = self._found(terms, parameters) if step % self.config.every == 0 else None
        if place is None:  # not due, or too few terms have rows to say what is shared
            added((values * self.factors).sum(), extra).backward()  # type: ignore[no-untyped-call]
            return
        layer = parameters[place]
        norms = torch.stack([_norm(terms[name], layer) for name in self.terms])
        added((values * self.factors).sum(), extra).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            active = (norms > 0) & (values > 0)
            self.initial.copy_(torch.where((self.initial == 0) & active, values, self.initial))
            gradient, mean = self.gradient(values.detach(), norms, active)
            moved = self.factors - self.config.lr * gradient / torch.where(mean > 0, mean, torch.ones_like(mean))
            moved = moved.clamp(min=_LEAST)
            self.factors.copy_(moved * (len(self.terms) / moved.sum()))

    def gradient(
        self, values: Float[Tensor, "T"], norms: Float[Tensor, "T"], active: Bool[Tensor, "T"]
    ) -> tuple[Float[Tensor, "T"], Float[Tensor, ""]]:
        """The gradient of the weights' own loss, 0 for terms that are not active, and mean_j(G_j)."""
        count = active.sum().clamp(min=1)
        ratio = torch.where(active, values / self.initial, torch.zeros_like(values))
        mean_ratio = ratio.sum() / count
        rate = ratio / torch.where(mean_ratio > 0, mean_ratio, torch.ones_like(mean_ratio))
        weighted = self.factors * norms * active  # G
        mean = weighted.sum() / count
        target = mean * rate.pow(self.config.alpha)
        return (weighted - target).sign() * norms * active, mean

    @property
    def weights(self) -> Mapping[str, float]:
        """As they are for the next batch."""
        return dict(zip(self.terms, self.factors.tolist(), strict=True))

    def _found(self, terms: Terms, parameters: Sequence[nn.Parameter]) -> int | None:
        if self._place is None:
            found = int(self.layer) if int(self.layer) >= 0 else last_shared(terms, parameters)
            if found is not None:
                self.layer.fill_(found)
                self._place = found
        return self._place


def _norm(term: Float[Tensor, ""], layer: nn.Parameter) -> Float[Tensor, ""]:
    (gradient,) = torch.autograd.grad(term, layer, retain_graph=True, allow_unused=True)
    if gradient is None:
        return torch.zeros_like(term)
    dense: Tensor = gradient.coalesce().values() if gradient.is_sparse else gradient
    norm: Tensor = torch.linalg.vector_norm(dense)
    return norm
