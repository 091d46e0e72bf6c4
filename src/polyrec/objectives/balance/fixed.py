"""Weights that never change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge
from torch import nn

from polyrec.declare import STRICT
from polyrec.errors import ConfigError, together, unknown
from polyrec.objectives.balance.balancer import Balancer, added, register
from polyrec.objectives.objective import Terms
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class FixedConfig:
    """The weight of each term by its name; terms left out weigh 1."""

    __pydantic_config__ = STRICT
    weights: Mapping[str, Annotated[float, Ge(0.0)]] = field(default_factory=dict)


@register("fixed", FixedConfig)
class Fixed(Balancer):
    """The gradient of a weighted sum: sum_i w_i L_i.

    Raises:
        ConfigError: a weight for a term that the objective does not have.

    Example:
        >>> Fixed(("click", "buy"), FixedConfig({"buy": 0.5})).weights
        {'click': 1.0, 'buy': 0.5}
    """

    factors: Float[Tensor, "T"]

    def __init__(self, terms: Sequence[str], config: FixedConfig) -> None:
        super().__init__(terms)
        problems = [unknown("term", name, terms, "of this objective") for name in config.weights if name not in terms]
        if problems:
            raise ConfigError(together(problems, "[balancer] weights"))
        self._weights = {name: float(config.weights.get(name, 1.0)) for name in self.terms}
        self.register_buffer("factors", torch.tensor(list(self._weights.values())), persistent=False)

    def backward(
        self, terms: Terms, parameters: Sequence[nn.Parameter], *, step: int, extra: Float[Tensor, ""] | None = None
    ) -> None:
        """One backward pass through the weighted sum."""
        del parameters, step
        added((self.stacked(terms) * self.factors).sum(), extra).backward()  # type: ignore[no-untyped-call]

    @property
    def weights(self) -> Mapping[str, float]:
        """As configured."""
        return dict(self._weights)
