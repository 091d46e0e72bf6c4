"""Products of probabilities as logits: nothing is ever multiplied, subtracted from one, or clamped.

A probability p is carried as the pair (log p, log(1 - p)). Both sides of every operation are then sums of
products of positive numbers, so no digit cancels and no logarithm meets a zero: logits of any finite size
give finite results and finite gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LogProbability:
    """A probability and its complement, both as logarithms.

    Example:
        >>> seen = LogProbability.of(torch.tensor([0.0]))      # 1/2
        >>> bought = LogProbability.of(torch.tensor([0.0]))    # 1/2, of those that saw
        >>> round(float(seen.then(bought).yes.exp()), 4)
        0.25
    """

    yes: Float[Tensor, "*any"]  # log p
    no: Float[Tensor, "*any"]  # log(1 - p)

    @classmethod
    def of(cls, logit: Float[Tensor, "*any"]) -> "LogProbability":
        """The probability sigmoid(logit)."""
        return cls(functional.logsigmoid(logit), functional.logsigmoid(-logit))

    def then(self, after: "LogProbability") -> "LogProbability":
        """Both happen, where `after` is given this one: p q, with 1 - p q = (1 - p) + p (1 - q)."""
        return LogProbability(self.yes + after.yes, torch.logaddexp(self.no, self.yes + after.no))

    @property
    def complement(self) -> "LogProbability":
        """That it does not happen."""
        return LogProbability(self.no, self.yes)

    @property
    def logit(self) -> Float[Tensor, "*any"]:
        """The log-odds: log p - log(1 - p)."""
        return self.yes - self.no


def given(gate: LogProbability, yes: LogProbability, no: LogProbability) -> LogProbability:
    """The law of total probability: p = g y + (1 - g) n, and 1 - p = g (1 - y) + (1 - g) (1 - n).

    Example:
        >>> third, half, never = (LogProbability.of(torch.tensor(x)) for x in (-0.6931472, 0.0, -40.0))
        >>> round(float(given(third, half, never).yes.exp()), 4)
        0.1667
    """
    return LogProbability(
        torch.logaddexp(gate.yes + yes.yes, gate.no + no.yes), torch.logaddexp(gate.yes + yes.no, gate.no + no.no)
    )


def chain(logits: Sequence[Float[Tensor, "*any"]]) -> Float[Tensor, "*any"]:
    """The logit of a product of probabilities, each given by its logit: p = prod_i sigmoid(a_i).

    Formula:
        log p = sum_i log sigmoid(a_i);  log(1 - p) = logsumexp_i(log sigmoid(-a_i) + sum_{j<i} log sigmoid(a_j))

    Args:
        logits: at least one; each after the first is given all before it.

    Example:
        >>> from math import log
        >>> half = torch.tensor([0.0])
        >>> round(float(chain([half, half])), 4) == round(log(0.25 / 0.75), 4)
        True
        >>> float(chain([torch.tensor(100.0), torch.tensor(-100.0)]))
        -100.0
    """
    product = LogProbability.of(logits[0])
    for logit in logits[1:]:
        product = product.then(LogProbability.of(logit))
    return logits[0] if len(logits) == 1 else product.logit
