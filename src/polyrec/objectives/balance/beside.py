"""Terms that are learned beside the balanced ones."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from polyrec.objectives.balance.balancer import Balancer, added
from polyrec.objectives.objective import Terms
from polyrec.shapes import Float, Tensor


class Beside(Balancer):
    """A balancer of some terms; the others are added as they are, with the weight that they bring.

    Args:
        balanced: balances its own terms.
        terms: all of them, in the order of the objective.

    Example:
        >>> from polyrec.objectives import balance
        >>> inner = balance.build("fixed", ("click", "buy"), {"weights": {"buy": 0.5}})
        >>> Beside(inner, ("click", "buy", "distill")).weights
        {'click': 1.0, 'buy': 0.5, 'distill': 1.0}
    """

    def __init__(self, balanced: Balancer, terms: Sequence[str]) -> None:
        super().__init__(terms)
        self.balanced = balanced

    def backward(
        self, terms: Terms, parameters: Sequence[nn.Parameter], *, step: int, extra: Float[Tensor, ""] | None = None
    ) -> None:
        """As the balancer does, with the other terms among what takes no part."""
        rest = [one for name, one in terms.items() if name not in self.balanced.terms and one.requires_grad]
        extra = added(torch.stack(rest).sum(), extra) if rest else extra
        self.balanced.backward(self._own(terms), parameters, step=step, extra=extra)

    def after(self, again: Callable[[], Terms]) -> None:
        """As the balancer does."""
        self.balanced.after(lambda: self._own(again()))

    @property
    def weights(self) -> Mapping[str, float]:
        """The balancer's, and 1 for the others."""
        known = self.balanced.weights
        return {name: known.get(name, 1.0) for name in self.terms}

    def _own(self, terms: Terms) -> Terms:
        return {name: terms[name] for name in self.balanced.terms}
