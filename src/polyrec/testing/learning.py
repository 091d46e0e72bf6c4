"""Checks on how a model learns, and on what its scenarios cost one another."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from polyrec.batch import Batch
from polyrec.shapes import Tensor
from polyrec.testing.layouts import example_layout, random_batch
from polyrec.testing.subject import Subject, crosses, loss, require, scores

SCENARIOS = 7  # a size that no other dimension of a model is likely to have
FEW, MANY = 3, 30
FLAT = 1.25
HALF = 0.1  # bfloat16 has 8 bits of mantissa: 0.4 % a rounding, some dozen of them on the way to a logit


def every_parameter_learns(subject: Subject) -> None:
    """On a batch that covers everything, each parameter, and each scenario's part of it, has a gradient."""
    layout = example_layout(SCENARIOS)
    model = subject.stirred(layout).train()
    _backward(model, random_batch(layout, 700, seed=1))
    for name, value in model.named_parameters():
        gradient = _gradient(value)
        require(bool(torch.isfinite(gradient).all()), f"the gradient of {name!r} is not finite.")
        require(bool((gradient != 0).any()), f"parameter {name!r} has no gradient: it would never learn.")
        if value.dim() > 1 and value.shape[0] == SCENARIOS:
            idle = [place for place in range(SCENARIOS) if not bool((gradient[place] != 0).any())]
            require(not idle, f"parameter {name!r} has no gradient for scenarios {idle}.")


def models_share_nothing(subject: Subject) -> None:
    """Two models have no tensor in common, and training one leaves the other's scores alone."""
    layout = example_layout()
    one, other = subject.fresh(layout, 0), subject.fresh(layout, 1).eval()
    held = {value.untyped_storage().data_ptr(): name for name, value in _tensors(one) if value.numel()}
    for name, value in _tensors(other):
        shared = held.get(value.untyped_storage().data_ptr())
        require(shared is None, f"{shared!r} of one model and {name!r} of another are the same tensor.")
    batch = random_batch(layout, 20, seed=2)
    before = scores(other, batch)
    _train(one.train(), batch, steps=2)
    require(torch.equal(before, scores(other, batch)), "training one model changed the scores of another.")


def training_lowers_the_loss(subject: Subject) -> None:
    """Sixty steps on labels that follow from an id lower the loss by a fifth or more."""
    layout = example_layout()
    batch = random_batch(layout, 256, seed=3)
    labels = (batch.ids[:, :1] % 2).float().expand(-1, batch.labels.shape[1]).contiguous()
    batch = replace(batch, labels=labels)
    model = subject.fresh(layout).train()
    first = float(loss(model, batch).detach())
    _train(model, batch, steps=60)
    last = float(loss(model, batch).detach())
    require(last < 0.8 * first, f"sixty steps took the loss from {first:.3f} to {last:.3f}; it should fall by a fifth.")


def trains_in_half_precision(subject: Subject) -> None:
    """With products in bfloat16, rows known and unknown score nearly as in float32 and gradients are finite."""
    layout = example_layout(SCENARIOS)
    batch = random_batch(layout, 100, seed=6)
    batch = replace(batch, scenario=torch.where(torch.arange(100) < 9, -1, batch.scenario))
    model = subject.stirred(layout)
    want = scores(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        found = scores(model, batch).float()
        total = loss(model.train(), batch)
    away = float((found - want).square().mean().sqrt() / want.square().mean().sqrt().clamp(min=1e-6))
    require(away < HALF, f"in bfloat16 logits differ by {away:.0%} of their size; it should be under {HALF:.0%}.")
    total.float().backward()  # type: ignore[no-untyped-call]
    for name, value in model.named_parameters():
        require(bool(torch.isfinite(_gradient(value)).all()), f"in bfloat16 the gradient of {name!r} is not finite.")


def scenario_parameters_touch_only_their_rows(subject: Subject) -> None:
    """What belongs to a scenario neither learns from the rows of another nor changes their scores.

    A parameter whose first dimension counts the scenarios is taken to hold scenario s at index s. A model that declares
    `reads_other_scenarios = True` is held to that instead: the others' parameters do change a scenario's scores.
    """
    layout = example_layout(SCENARIOS)
    model = subject.stirred(layout).train()
    batch = random_batch(layout, 140, seed=4)
    mine = torch.nonzero(batch.scenario == 2)[:, 0]
    others = torch.tensor([place for place in range(SCENARIOS) if place != 2])
    _backward(model, batch.select(mine))
    for name, value in _by_scenario(model) if not crosses(model) else ():
        leaked = bool((_gradient(value)[others] != 0).any())
        require(not leaked, f"rows of one scenario gave a gradient to the part of {name!r} that belongs to others.")
    model.eval()
    before = scores(model, batch.select(mine))
    with torch.no_grad():
        for _, value in _by_scenario(model):
            value[others] += torch.randn_like(value[others])
    same = torch.equal(before, scores(model, batch.select(mine)))
    if crosses(model):
        require(not same, "reads_other_scenarios is True, yet other scenarios' parameters matter not. Drop it.")
    else:
        require(same, "other scenarios' parameters changed the scores of a scenario's rows.")


def work_per_row_is_flat_in_scenarios(subject: Subject) -> None:
    """Ten times the scenarios cost a row at most a quarter more, in a batch and alone.

    Where the model declares `reads_other_scenarios = True`, at most ten times as much and a quarter more.
    """
    most = FLAT * (MANY / FEW if crosses(subject.fresh(example_layout())) else 1)
    for rows in (64, None):
        few, many = (_work(subject, scenarios, rows) for scenarios in (FEW, MANY))
        where = "in a batch" if rows else "alone"
        for what, before, after in zip(("multiplications", "numbers written"), few, many, strict=True):
            require(
                after <= most * before,
                f"a row {where} costs {after / before:.2f} times the {what} with {MANY} scenarios that it costs with "
                f"{FEW}; at most {most}. Let rows meet only their own scenario's parameters.",
            )


class _Written(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the numbers that operations write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(one, Tensor) and one.is_floating_point() and not func.is_view:
                self.count += one.numel()
        return found


def _work(subject: Subject, scenarios: int, rows: int | None) -> tuple[float, float]:
    """Multiplications and numbers written a row; `rows` of each scenario, or one row in all."""
    layout = example_layout(scenarios)
    model = subject.fresh(layout).eval()
    count = rows * scenarios if rows else 1
    batch = random_batch(layout, count, seed=5)
    batch = replace(batch, scenario=torch.arange(count) % scenarios)
    with torch.no_grad(), FlopCounterMode(display=False) as flops, _Written() as written:
        model(batch)
    return max(flops.get_total_flops(), 1) / count, max(written.count, 1) / count


def _backward(model: nn.Module, batch: Batch) -> None:
    model.zero_grad(set_to_none=True)
    loss(model, batch).backward()  # type: ignore[no-untyped-call]


def _gradient(value: Tensor) -> Tensor:
    if value.grad is None:
        return torch.zeros_like(value)
    return value.grad.to_dense() if value.grad.is_sparse else value.grad


def _by_scenario(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, value) for name, value in model.named_parameters() if value.shape[:1] == (SCENARIOS,))


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _train(model: nn.Module, batch: Batch, steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        _backward(model, batch)
        for value in model.parameters():
            if value.grad is not None and value.grad.is_sparse:
                value.grad = value.grad.to_dense()
        optimizer.step()
