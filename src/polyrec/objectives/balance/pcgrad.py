"""Gradients that conflict are projected onto each other's normal plane (Yu et al., NeurIPS 2020)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from polyrec.declare import STRICT
from polyrec.objectives.balance.balancer import Balancer, register
from polyrec.objectives.balance.shared import together
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
        by_term = [
            torch.autograd.grad(terms[name], parameters, retain_graph=True, allow_unused=True) for name in self.terms
        ]
        several: list[int] = []
        for place, parameter in enumerate(parameters):
            given = [one[place] for one in by_term if one[place] is not None]
            if len(given) > 1 and not given[0].is_sparse:
                several.append(place)
            elif given:
                _add(parameter, sum(given[1:], start=given[0]))
        if several:
            matrix = torch.stack([_flat(one, parameters, several) for one in by_term])  # [T, P]
            # Towers may lie side by side in one parameter: only where gradients meet is it shared.
            shared = torch.cat([together([one[place] for one in by_term]).flatten() for place in several])
            total = matrix.sum(0)
            total[shared] = project(matrix[:, shared], self._orders(step))
            _spread(total, parameters, several)
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


def project(gradients: Float[Tensor, "T P"], orders: Sequence[Sequence[int]]) -> Float[Tensor, "P"]:
    """The sum of the projected gradients.

    A projected gradient is a combination of the originals, so all inner products come from one T x T matrix.

    Example:
        >>> project(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]), [[1], [0]])
        tensor([0.5000, 1.5000])
    """
    inner = gradients @ gradients.T  # [T, T]
    mixture = torch.eye(len(gradients), dtype=gradients.dtype, device=gradients.device)
    for task, order in enumerate(orders):
        for other in order:
            square = inner[other, other]
            conflict = (mixture[task] @ inner[other]).clamp(max=0) / torch.where(square > 0, square, 1)
            mixture[task, other] -= conflict
    return mixture.sum(0) @ gradients


def _flat(
    gradients: Sequence[Tensor | None], parameters: Sequence[nn.Parameter], places: Sequence[int]
) -> Float[Tensor, "P"]:
    parts = []
    for place in places:
        found = gradients[place]
        parts.append(torch.zeros_like(parameters[place]).flatten() if found is None else found.flatten())
    return torch.cat(parts)


def _spread(gradient: Float[Tensor, "P"], parameters: Sequence[nn.Parameter], places: Sequence[int]) -> None:
    sizes = [parameters[place].numel() for place in places]
    for place, part in zip(places, torch.split(gradient, sizes), strict=True):
        _add(parameters[place], part.view_as(parameters[place]))


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad + gradient
