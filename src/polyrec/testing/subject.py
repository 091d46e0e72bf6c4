"""What is held to the contract: a registered model's name, or anything that builds a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from polyrec.batch import Batch, Layout, Output
from polyrec.models import build, entry
from polyrec.shapes import Float, Tensor
from polyrec.testing.layouts import random_batch

Factory = Callable[[Layout, Sequence[str]], nn.Module]
HEADS = ("click", "buy")


@dataclass(frozen=True, slots=True)
class Subject:
    """A way to build models, and its options' class where it has one."""

    name: str
    make: Factory
    config: type[Any] | None = None

    @classmethod
    def of(cls, model: "str | Factory | Subject") -> "Subject":
        """From a registered name (with its default options) or a callable `(layout, heads) -> module`."""
        if isinstance(model, Subject):
            return model
        if isinstance(model, str):
            name = model
            return cls(name, lambda layout, heads: build(name, layout, heads), entry(name).config)
        return cls(getattr(model, "__name__", repr(model)), model)

    def fresh(self, layout: Layout, seed: int = 0) -> nn.Module:
        """A new model; equal seeds give equal models."""
        torch.manual_seed(seed)
        return self.make(layout, HEADS)

    def stirred(self, layout: Layout, seed: int = 0) -> nn.Module:
        """A model that looks trained: nothing at its initial value, statistics that have seen rows; scoring."""
        model = self.fresh(layout, seed)
        with torch.no_grad():
            for one in model.parameters():
                width = one.shape[-2] if one.dim() > 1 else 4
                one.add_(torch.randn_like(one) * 0.5 * max(width, 1) ** -0.5)
        model.train()
        for turn in range(3):
            model(random_batch(layout, 64, seed=100 + turn))
        return model.eval()


def crosses(model: nn.Module) -> bool:
    """Whether the model declares that a row reads the networks of scenarios that are not its own."""
    return bool(getattr(model, "reads_other_scenarios", False))


def require(holds: bool, sentence: str) -> None:
    """Raise AssertionError with this sentence unless it holds."""
    if not holds:
        raise AssertionError(sentence)


def answer(model: nn.Module, batch: Batch) -> Output:
    """The model's output, which must be an `Output`."""
    output = model(batch)
    require(isinstance(output, Output), f"forward gave a {type(output).__name__}; it must give an Output.")
    assert isinstance(output, Output)
    return output


def scores(model: nn.Module, batch: Batch) -> Float[Tensor, "T B"]:
    """Logits of all heads, without gradients."""
    with torch.no_grad():
        logits = answer(model, batch).logits
    return torch.stack([logits[head] for head in HEADS])


def loss(model: nn.Module, batch: Batch) -> Float[Tensor, ""]:
    """Mean cross-entropy of every head on every row, and the model's penalties."""
    output = answer(model, batch)
    logits = torch.stack([output.logits[head] for head in HEADS], 1)  # [B, T]
    total = functional.binary_cross_entropy_with_logits(logits, batch.labels)
    return total + sum(output.penalties.values(), torch.zeros(()))


def gap(one: Tensor, other: Tensor) -> float:
    """The largest difference, over 1 + the largest value."""
    if not one.numel():
        return 0.0
    return float((one - other).abs().max() / (1.0 + other.abs().max()))
