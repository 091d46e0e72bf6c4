"""What every balancer offers, and their registry: how named losses become gradients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import nn

from polyrec.declare import parse
from polyrec.errors import ConfigError, unknown
from polyrec.objectives.objective import Terms
from polyrec.shapes import Float, Tensor


class Balancer(nn.Module):
    """Turns an objective's terms into gradients of every parameter.

    Its parameters and buffers (weights, initial losses, log-variances) are its state: they are checkpointed,
    and parameters are trained beside the model's. A term without rows in a batch is 0 and has no gradient;
    no balancer may learn anything from it.

    Args:
        terms: names of the terms, in the order in which the objective gives them.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        super().__init__()
        self.terms = tuple(terms)

    def backward(
        self, terms: Terms, parameters: Sequence[nn.Parameter], *, step: int, extra: Float[Tensor, ""] | None = None
    ) -> None:
        """Add the gradient of the balanced terms to the `grad` of every parameter.

        Args:
            terms: scalars by name, with their graph.
            parameters: the trainable parameters of model and objective, always in the same order.
            step: batches seen before this one; with the seed it decides every random choice.
            extra: a penalty that is added as it is and takes no part in the balancing.
        """
        raise NotImplementedError(f"{type(self).__name__} must say how terms become gradients")

    def after(self, again: Callable[[], Terms]) -> None:
        """Called after each step of the optimizer; `again` gives the same batch's terms as they are now."""

    @property
    def weights(self) -> Mapping[str, float]:
        """What each term is multiplied by at the moment, for the record."""
        raise NotImplementedError(f"{type(self).__name__} must name its weights")

    def stacked(self, terms: Terms) -> Float[Tensor, "T"]:
        """The terms as one vector, in this balancer's order."""
        return torch.stack([terms[name] for name in self.terms])


C = TypeVar("C", bound=type[Balancer])


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered balancer."""

    name: str
    balancer: Callable[[Sequence[str], Any], Balancer]
    config: type[Any]


_ENTRIES: dict[str, Entry] = {}


def register(name: str, config: type[Any]) -> Callable[[C], C]:
    """Class decorator: make a balancer known under `name`, built as `Balancer(terms, config)`."""

    def add(balancer: C) -> C:
        other = _ENTRIES.get(name)
        if other is not None and cast(Any, other.balancer).__qualname__ != balancer.__qualname__:
            raise ConfigError(f"balancer {name!r} is registered already, by {other.balancer!r}. Choose another name.")
        _ENTRIES[name] = Entry(name, cast(Any, balancer), config)
        return balancer

    return add


def names() -> tuple[str, ...]:
    """Registered balancers, in order of registration."""
    return tuple(_ENTRIES)


def build(name: str, terms: Sequence[str], options: Mapping[str, Any] | None = None) -> Balancer:
    """A balancer with these options over its defaults; an unknown option is refused by name."""
    if name not in _ENTRIES:
        raise ConfigError(unknown("balancer", name, _ENTRIES, "registered"))
    found = _ENTRIES[name]
    return found.balancer(tuple(terms), parse(found.config, options or {}, f"[balancer] of {name}"))


def added(total: Float[Tensor, ""], extra: Float[Tensor, ""] | None) -> Float[Tensor, ""]:
    """The total with the penalty, if there is one."""
    return total if extra is None else total + extra
