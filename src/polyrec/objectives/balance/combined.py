"""Gradients of several terms as one: a weighted sum where they meet, the plain sum where each is alone."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from polyrec.distributed import world
from polyrec.objectives.balance.balancer import Balancer
from polyrec.objectives.balance.shared import gradients, together
from polyrec.objectives.objective import Terms
from polyrec.shapes import Float, Tensor

Numbers = npt.NDArray[np.float64]
Weigh = Callable[[Numbers], Numbers]  # inner products of the terms' gradients [T, T] to a weight for each term [T]


class Combined(Balancer):
    """A balancer whose weights follow from the inner products of the terms' gradients, batch by batch.

    Tables with sparse gradients get the weights, and are not asked for them. Parameters of one term take its gradient
    as it is. A term without rows weighs 1, and no other weight knows of it.
    """

    factors: Float[Tensor, "T"]

    def __init__(self, terms: Sequence[str]) -> None:
        super().__init__(terms)
        self.register_buffer("factors", torch.ones(len(self.terms)))

    def weigh(self, inner: Numbers) -> Numbers:
        """The weights from the inner products [T, T] of gradients none of which is 0."""
        raise NotImplementedError(f"{type(self).__name__} must weigh its terms")

    def backward(
        self, terms: Terms, parameters: Sequence[nn.Parameter], *, step: int, extra: Float[Tensor, ""] | None = None
    ) -> None:
        """One backward pass a term."""
        del step
        weights = combine(terms, parameters, lambda inner: of_active(inner, self.weigh))
        self.factors.copy_(torch.from_numpy(weights))
        if extra is not None:
            extra.backward()  # type: ignore[no-untyped-call]

    @property
    def weights(self) -> Mapping[str, float]:
        """Those of the batch seen last."""
        return dict(zip(self.terms, self.factors.tolist(), strict=True))


def combine(terms: Terms, parameters: Sequence[nn.Parameter], weigh: Weigh, *, tables: bool = True) -> Numbers:
    """Add `sum_i w_i g_i` to the `grad` of what several terms share, and the plain sum to all else.

    `w = weigh(G G^T)`, where the rows of G are the gradients of the shared dense weights (see `shared.together`) as one
    vector each. It costs one backward pass a term.

    Args:
        terms: scalars by name, with their graph, which is kept.
        parameters: the trainable ones.
        weigh: weights from inner products.
        tables: whether tables with sparse gradients that several terms read get the weighted sum too, or the plain one.

    Returns:
        The weights; 1 for each term where nothing dense is shared.

    Example:
        >>> shared, own = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
        >>> terms = {"a": shared[0] + 7 * own[0], "b": shared[1] - shared[0]}
        >>> combine(terms, [shared, own], lambda inner: np.array([1.0, 0.5])).tolist()
        [1.0, 0.5]
        >>> shared.grad.tolist(), own.grad.tolist()
        ([0.5, 0.5], [7.0])
    """
    by_term = gradients(terms, parameters)
    given = [[one[place] for one in by_term] for place in range(len(parameters))]
    several = [place for place, found in enumerate(given) if _meet(found)]
    weights = np.ones(len(by_term))
    if several:
        matrix = torch.stack([_flat(one, parameters, several) for one in by_term])  # [T, P]
        every = matrix if world().alone else world().sum(matrix.clone())  # of all processes' rows
        split = torch.split(every, [parameters[place].numel() for place in several], 1)
        # Towers may lie side by side in one parameter: only where gradients meet is it shared.
        shared = torch.cat([_together(part, given[place]) for part, place in zip(split, several, strict=True)])
        met = every[:, shared]
        weights = weigh((met @ met.T).double().cpu().numpy())
        met = matrix[:, shared]
        total = matrix.sum(0)
        total[shared] = torch.from_numpy(weights).to(met) @ met
        _spread(total, parameters, several)
    for place, found in enumerate(given):
        if place not in several:
            plain = not tables or sum(one is not None for one in found) < 2
            for one, weight in zip(found, weights.tolist(), strict=True):
                if one is not None:
                    _add(parameters[place], one if plain else one * weight)
    return weights


def of_active(inner: Numbers, solve: Weigh) -> Numbers:
    """Weights from the terms that have a gradient; a term without rows weighs 1, and no other weight knows of it.

    Example:
        >>> of_active(np.diag([4.0, 0.0, 1.0]), lambda inner: 1 / np.sqrt(inner.diagonal())).tolist()
        [0.5, 1.0, 1.0]
    """
    weights, active = np.ones(len(inner)), inner.diagonal() > 0
    if active.any():
        weights[active] = solve(inner[np.ix_(active, active)])
    return weights


def _meet(found: Sequence[Tensor | None]) -> bool:
    given = [one for one in found if one is not None]
    return len(given) > 1 and not any(one.is_sparse for one in given)


def _together(part: Float[Tensor, "T P"], found: Sequence[Tensor | None]) -> Tensor:
    """Which entries the terms that reach this parameter share."""
    return together([one for one, mine in zip(part.unbind(0), found, strict=True) if mine is not None])


def _flat(
    found: Sequence[Tensor | None], parameters: Sequence[nn.Parameter], places: Sequence[int]
) -> Float[Tensor, "P"]:
    parts = []
    for place in places:
        one = found[place]
        parts.append(torch.zeros_like(parameters[place]).flatten() if one is None else one.flatten())
    return torch.cat(parts)


def _spread(gradient: Float[Tensor, "P"], parameters: Sequence[nn.Parameter], places: Sequence[int]) -> None:
    sizes = [parameters[place].numel() for place in places]
    for place, part in zip(places, torch.split(gradient, sizes), strict=True):
        _add(parameters[place], part.view_as(parameters[place]))


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad + gradient
