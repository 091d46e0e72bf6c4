"""Lazy Adam against Adam of each scenario alone, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from polyrec.config import TrainingConfig
from polyrec.nn.route import Route
from polyrec.nn.routed import RoutedLinear
from polyrec.training.lazy import LazyAdam
from polyrec.training.optim import Optimizer

S = 3


def gradient(step, scenario):
    return torch.randn(2, 4, generator=torch.Generator().manual_seed(10 * step + scenario), dtype=torch.float64)


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, S - 1)), min_size=1, max_size=12), st.sampled_from([0.0, 0.1]))
def test_each_scenario_moves_as_under_an_adam_of_its_own(present, decay):
    start = torch.linspace(-1, 1, S * 8, dtype=torch.float64).view(S, 2, 4)
    together = nn.Parameter(start.clone())
    lazy = LazyAdam({"w": together}, {"w": decay}, {"w": 0.5})
    alone = [nn.Parameter(one.clone()) for one in start]
    adams = [torch.optim.Adam([one], lr=0.01, weight_decay=decay, foreach=False) for one in alone]
    for step, scenarios in enumerate(present):
        together.grad = torch.zeros_like(together)
        for scenario in scenarios:
            together.grad[scenario] = alone[scenario].grad = gradient(step, scenario)
            adams[scenario].step()
        lazy.step(0.02)
    torch.testing.assert_close(together.detach(), torch.stack([one.detach() for one in alone]))


def test_plain_adam_moves_a_rare_scenario_thirty_times_as_far():
    def moved(lazy):
        torch.manual_seed(0)
        layer = RoutedLinear(2, 1, 2)
        optimizer = Optimizer({"model": layer}, TrainingConfig(lr=1e-3, lazy=lazy), steps=1_000)
        before = layer.weight[1].detach().clone()
        for step in range(1_000):
            route = Route(torch.full((4,), int(step == 900)), 2)
            layer(torch.ones(1, 4, 2), route).sum().backward()
            optimizer.step(step)
        return float((layer.weight[1] - before).detach().abs().mean())

    assert moved(lazy=True) == pytest.approx(1e-3, rel=1e-3)
    assert 20e-3 < moved(lazy=False) < 40e-3


def test_its_state_is_read_back_and_goes_on_alike():
    def made():
        torch.manual_seed(1)
        layer = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        parts = nn.ModuleDict({"plain": layer, "routed": RoutedLinear(2, 1, S)})
        return parts, Optimizer({"model": parts}, TrainingConfig(lr=0.01, lazy=True), steps=10)

    def go(parts, optimizer, steps):
        for step in steps:
            x = torch.randn(5, 2, generator=torch.Generator().manual_seed(step))
            parts["routed"](parts["plain"](x)[None], Route(torch.full((5,), step % S), S)).sum().backward()
            optimizer.step(step)

    parts, optimizer = made()
    go(parts, optimizer, range(4))
    other, fresh = made()
    other.load_state_dict(parts.state_dict())
    fresh.load({name: one.clone() for name, one in optimizer.state().items()})
    assert any(name.startswith("lazy.model.routed.weight.") for name in optimizer.state())
    assert not any(name.startswith("adam.model.routed") for name in optimizer.state())
    go(parts, optimizer, range(4, 9))
    go(other, fresh, range(4, 9))
    for name, one in parts.state_dict().items():
        assert torch.equal(one, other.state_dict()[name])
