"""How much transferred rows and the teacher's hidden states may weigh: tried out, told by the target's rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyrec.shapes import Float, Int
from polyrec.transfer.relation import gap

Beta = float | Literal["rows"]
Try = Callable[[Beta, float], Float[np.ndarray, "B"]]


@dataclass(frozen=True, slots=True)
class Tried:
    """One trial: the mean loss with these weights."""

    beta: Beta
    alpha: float
    log_loss: float


@dataclass(frozen=True, slots=True)
class Tuned:
    """The weights that were chosen, and what was tried."""

    beta: Beta
    alpha: float
    tried: tuple[Tried, ...] = ()


def tune(betas: Sequence[Beta], alphas: Sequence[float], loss: Try, users: Int[np.ndarray, "B"]) -> Tuned:
    """The weights of least loss; the first of each list is left only for one better by more than the standard error.

    Beta first, with the first alpha, and then alpha with the chosen beta: as many trials as there are values, less one.
    Nothing is tried where nothing is to be chosen.

    Args:
        betas: weights of the candidates, the preferred one first.
        alphas: weights of the distillation, likewise.
        loss: trains with a beta and an alpha; gives each validation row's loss.
        users: of those rows.

    Example:
        >>> rows = np.arange(100)
        >>> found = tune([1.0, 3.0], [0.1, 0.0], lambda beta, alpha: np.full(100, abs(beta - 3) + alpha), rows)
        >>> found.beta, found.alpha, len(found.tried)
        (3.0, 0.0, 3)
    """
    known: dict[tuple[Beta, float], Float[np.ndarray, B]] = {}

    def lost(beta: Beta, alpha: float) -> Float[np.ndarray, "B"]:
        if (beta, alpha) not in known:
            known[beta, alpha] = loss(beta, alpha)
        return known[beta, alpha]

    beta, alpha = betas[0], alphas[0]
    if len(betas) > 1:
        beta = betas[_best([lost(one, alpha) for one in betas], users)]
    if len(alphas) > 1:
        alpha = alphas[_best([lost(beta, one) for one in alphas], users)]
    return Tuned(beta, alpha, tuple(Tried(*key, round(float(one.mean()), 6)) for key, one in known.items()))


def _best(losses: Sequence[Float[np.ndarray, "B"]], users: np.ndarray) -> int:
    gains = [gap(losses[0] - one, users) for one in losses]
    better = [place for place, (gain, error) in enumerate(gains) if gain > error]
    return max(better, key=lambda place: gains[place][0], default=0)
