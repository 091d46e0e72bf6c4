"""What every objective offers: the heads it asks a model for, its terms, and what it predicts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.declare import parse
from polyrec.errors import ConfigError, unknown
from polyrec.schema import Target
from polyrec.shapes import Float, Tensor

Terms = Mapping[str, Float[Tensor, ""]]
Predictions = Mapping[Target, Float[Tensor, "B"]]  # logits


class Objective(nn.Module):
    """`(Output, Batch) -> named terms`, and `Output -> logits of every target`.

    It may own state (a teacher, learned weights); that state is checkpointed apart from the model's.
    """

    start: Float[Tensor, "T"] | None  # added to the heads' logits, head by head; see `start.begin`
    starts: bool = True  # whether it has a starting point; False where terms come from vectors, not from logits

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("start", None)

    def started(self, output: Output) -> Output:
        """The same answer with each head's logit counted from its starting point."""
        if self.start is None:
            return output
        heads = zip(self.heads, self.start.unbind(0), strict=True)
        return replace(output, logits={**output.logits, **{head: output.logits[head] + one for head, one in heads}})

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads that the model must answer with."""
        raise NotImplementedError(f"{type(self).__name__} must name its heads")

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms, in the order in which `forward` gives them."""
        raise NotImplementedError(f"{type(self).__name__} must name its terms")

    @property
    def served(self) -> "Objective":
        """What predicts and goes into a bundle: itself, or what it was wrapped around for training alone."""
        return self

    @property
    def watched(self) -> Mapping[str, Float[Tensor, ""]]:
        """Numbers of the batch seen last that are told beside the terms and are no part of the loss."""
        return {}

    def beside(self, output: Output, batch: Batch) -> Output:  # noqa: ARG002
        """The answer, with what the objective itself makes of the rows' features (a teacher's answer).

        Where several processes train, `forward` sees all processes' rows without their features: what it needs of
        features must be added here, row by row.
        """
        return output

    def forward(self, output: Output, batch: Batch) -> Terms:
        """Named scalar terms of the loss. A term without rows is 0 and keeps its graph."""
        raise NotImplementedError(f"{type(self).__name__} must give its terms")

    def predict(self, output: Output) -> Predictions:
        """The logit of every target of the layout, from the heads' logits."""
        raise NotImplementedError(f"{type(self).__name__} must predict every target")


O = TypeVar("O", bound=type[Objective])  # noqa: E741


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered objective."""

    name: str
    objective: Callable[[Layout, Any], Objective]
    config: type[Any]


_ENTRIES: dict[str, Entry] = {}


def register(name: str, config: type[Any]) -> Callable[[O], O]:
    """Class decorator: make an objective known under `name`, built as `Objective(layout, config)`."""

    def add(objective: O) -> O:
        other = _ENTRIES.get(name)
        if other is not None and cast(Any, other.objective).__qualname__ != objective.__qualname__:
            raise ConfigError(f"objective {name!r} is registered already, by {other.objective!r}. Choose another name.")
        _ENTRIES[name] = Entry(name, cast(Any, objective), config)
        return objective

    return add


def names() -> tuple[str, ...]:
    """Registered objectives, in order of registration."""
    return tuple(_ENTRIES)


def parsed(name: str, options: Mapping[str, Any]) -> Any:
    """An objective's options over its defaults; an unknown one is refused by name."""
    if name not in _ENTRIES:
        raise ConfigError(unknown("objective", name, _ENTRIES, "registered"))
    return parse(_ENTRIES[name].config, options, f"[objective] of {name}")


def build(name: str, layout: Layout, options: Mapping[str, Any] | None = None) -> Objective:
    """An objective with these options over its defaults; an unknown option is refused by name."""
    config = parsed(name, options or {})
    made = _ENTRIES[name].objective(layout, config)
    made.start = torch.zeros(len(made.heads)) if made.starts else None
    return made
