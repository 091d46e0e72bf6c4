"""What stood behind a score: the mixtures of experts, the gate factors and the flows of one row."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from polyrec.artifact.bundle import Bundle
from polyrec.batch import Batch
from polyrec.nn.flows import FLOWS
from polyrec.nn.gates import Gates, GateUnit, Selectors
from polyrec.shapes import Tensor

PRUNE = "prune/"


@dataclass(frozen=True, slots=True)
class Mixture:
    """How much of each expert a head takes; the shares sum to 1."""

    gate: str
    head: str
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Factors:
    """What a personalised gate multiplies a layer's numbers by, from 0 to 2; 1 leaves them as they are."""

    gate: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Flow:
    """One way through the network, and whether the row takes it."""

    head: str
    flow: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Explained:
    """Everything that gates did on one row; empty for a model without gates."""

    mixtures: tuple[Mixture, ...]
    factors: tuple[Factors, ...]
    flows: tuple[Flow, ...]


def has_gates(model: nn.Module) -> bool:
    """Whether there is anything to explain."""
    return any(isinstance(one, (Gates, Selectors, GateUnit)) for one in model.modules()) or bool(_flows(model))


@torch.inference_mode()
def explain(bundle: Bundle, row: Batch) -> Explained:
    """Run one row through the model and note what its gates answered on the way: the very numbers behind its score.

    For a row of unknown scenario, which passes through the parts of every scenario, the mean over them.

    Args:
        bundle: its model, built (a program tells nothing but scores).
        row: one encoded row.

    Raises:
        ValueError: not one row.

    Example:
        ```python
        found = explain(Bundle.load("bundle"), bundle.encoder.encode_rows([{"user": 7, "item": 3, "tab": "home"}]))
        print(found.mixtures[0].shares)                # (0.61, 0.22, 0.12, 0.05)
        ```
    """
    if len(row) != 1:
        raise ValueError(f"{len(row)} rows: one row is explained at a time.")
    model: Any = bundle.model
    with _noted(model) as answers:
        output = model(row.to(next(model.parameters()).device))
    heads: tuple[str, ...] = model.heads
    mixtures: list[Mixture] = []
    factors: list[Factors] = []
    for name, module, answer in answers:
        if isinstance(module, GateUnit):
            values = answer.flatten()
            factors.append(Factors(name, float(values.mean()), float(values.min()), float(values.max())))
            continue
        shares = answer.mean(0)  # [T, E]
        names = heads if len(shares) == len(heads) else ("every head",) * len(shares)
        mixtures += [Mixture(name, head, tuple(one.tolist())) for head, one in zip(names, shares, strict=True)]
    flows = [
        Flow(name.removeprefix(PRUNE), flow, bool(pruned < 0.5))
        for name, gates in output.hidden.items()
        if name.startswith(PRUNE)
        for flow, pruned in zip(FLOWS, gates[0].tolist(), strict=True)
    ]
    return Explained(tuple(mixtures), tuple(factors), tuple(flows))


def _flows(model: nn.Module) -> bool:
    return getattr(model, "selector", None) is not None


@contextmanager
def _noted(model: nn.Module) -> Iterator[list[tuple[str, nn.Module, Tensor]]]:
    """What each gate answers, in the order in which they are asked."""
    answers: list[tuple[str, nn.Module, Tensor]] = []
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, (Gates, Selectors, GateUnit)):

            def note(found: nn.Module, _: Any, answer: Tensor, name: str = name) -> None:
                answers.append((name, found, answer))

            hooks.append(module.register_forward_hook(note))
    try:
        yield answers
    finally:
        for hook in hooks:
            hook.remove()
