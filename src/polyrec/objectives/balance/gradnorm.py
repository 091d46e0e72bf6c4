"""Weights that keep the tasks' gradients in step with their rates of learning (Chen et al., ICML 2018)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import nn

from polyrec.declare import STRICT
from polyrec.distributed import world
from polyrec.objectives.balance.balancer import Balancer, added, register
from polyrec.objectives.balance.shared import last_shared
from polyrec.objectives.objective import Terms
from polyrec.shapes import Bool, Float, Int, Tensor

LOOKS = 20  # at a term, before its rate counts: a rare term's first batch says little of its loss
_RECENT = 0.1  # share of the newest look in the recent loss


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
        Since G_i = w_i |grad_W L_i|, a weight goes down where G_i is above its target and up where it is below:
            w_i <- w_i exp(-lr clamp((G_i - target_i) / target_i, -1, 1)),
        and then all are scaled to sum to the number of tasks.

    Ours: the paper's gradient of the weights' loss has the same sign, and its size is that of grad_W L_i, which would
    throw a weight far past its target where norms differ by ten times and more; a step here is at most `lr`, in
    proportion, and smaller near the target. L_i(0) is the mean of a term's first 20 looks with rows, L_i a running
    mean, and r_i is 1 until then. A term without rows in a batch keeps out of every mean, and its weight changes only
    by the scaling.

    Raises:
        ConfigError: at the first batch with rows of two terms, when no two terms share a weight matrix.
    """

    factors: Float[Tensor, "T"]
    initial: Float[Tensor, "T"]
    recent: Float[Tensor, "T"]
    seen: Int[Tensor, "T"]
    layer: Int[Tensor, ""]

    def __init__(self, terms: Sequence[str], config: GradNormConfig) -> None:
        super().__init__(terms)
        self.config = config
        self.register_buffer("factors", torch.ones(len(self.terms)))
        self.register_buffer("initial", torch.zeros(len(self.terms)))  # mean loss of the first looks
        self.register_buffer("recent", torch.zeros(len(self.terms)))
        self.register_buffer("seen", torch.zeros(len(self.terms), dtype=torch.long))  # looks at which it had rows
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
            self._remember(values, active)
            weighted = self.factors * norms  # G
            target = self.targets(weighted, active)
            away = ((weighted - target) / target).clamp(-1.0, 1.0)
            moved = self.factors * torch.where(active, -self.config.lr * away, torch.zeros_like(away)).exp()
            self.factors.copy_(moved * (len(self.terms) / moved.sum()))

    def targets(self, weighted: Float[Tensor, "T"], active: Bool[Tensor, "T"]) -> Float[Tensor, "T"]:
        """What each G_i should be: mean_j(G_j) r_i^alpha over the active terms; 1 for the others."""
        count = active.sum().clamp(min=1)
        known = self.seen >= LOOKS
        ratio = torch.where(known & (self.initial > 0), self.recent / self.initial, torch.ones_like(weighted))
        mean_ratio = (ratio * active).sum() / count
        rate = torch.where(known, ratio / torch.where(mean_ratio > 0, mean_ratio, 1.0), torch.ones_like(ratio))
        target = (weighted * active).sum() / count * rate.pow(self.config.alpha)
        return torch.where(active & (target > 0), target, torch.ones_like(target))

    def _remember(self, values: Float[Tensor, "T"], active: Bool[Tensor, "T"]) -> None:
        """Take a look's losses into the first and the recent mean of the terms that have rows."""
        self.seen += active
        share = 1.0 / self.seen.clamp(min=1)
        early = active & (self.seen <= LOOKS)
        self.initial.copy_(torch.where(early, self.initial.lerp(values, share), self.initial))
        self.recent.copy_(torch.where(active, self.recent.lerp(values, share.clamp(min=_RECENT)), self.recent))

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
    if not world().alone:
        gradient = world().sum(torch.zeros_like(layer) if gradient is None else gradient.clone())
    if gradient is None:
        return torch.zeros_like(term)
    dense: Tensor = gradient.coalesce().values() if gradient.is_sparse else gradient
    norm: Tensor = torch.linalg.vector_norm(dense)
    return norm
