"""Dynamic weight average: four periods of two steps, by hand."""

from math import exp

import pytest
import torch
from torch import nn

from polyrec.objectives.balance import build


def weights(ratios, temperature):
    total = sum(exp(one / temperature) for one in ratios)
    return [len(ratios) * exp(one / temperature) / total for one in ratios]


def test_weights_follow_the_losses_of_the_two_periods_before():
    weight = nn.Parameter(torch.ones(()))
    balancer = build("dwa", ("a", "b"), {"every": 2, "temperature": 0.5})
    losses = [(4, 1), (2, 1), (2, 1), (1, 0.8), (1, 1), (1, 1), (1, 1), (1, 1)]  # means (3, 1), (1.5, .9), (1, 1)
    expected = [[1, 1]] * 4 + [weights([0.5, 0.9], 0.5)] * 2 + [weights([1 / 1.5, 1 / 0.9], 0.5)] * 2
    for step, ((a, b), known) in enumerate(zip(losses, expected, strict=True)):
        weight.grad = None
        assert list(balancer.weights.values()) == pytest.approx(known)
        balancer.backward({"a": a * weight, "b": b * weight}, [weight], step=step)
        assert weight.grad.item() == pytest.approx(known[0] * a + known[1] * b)


def test_batches_without_rows_are_left_out_of_a_terms_mean():
    weight = nn.Parameter(torch.ones(()))
    balancer = build("dwa", ("a", "b"), {"every": 2})
    # a: means 2, 1 over the batches with rows; b: 3 in the first period, nothing in the second: its ratio is 1.
    for step, (a, b) in enumerate([(2, 3), (0, 3), (1, 0), (0, 0)]):
        balancer.backward({"a": a * weight, "b": b * weight}, [weight], step=step)
    assert list(balancer.weights.values()) == pytest.approx(weights([0.5, 1.0], 2.0))
    for step, (a, b) in enumerate([(1, 6), (1, 6)], 4):  # b once more, against the last period in which it had rows
        balancer.backward({"a": a * weight, "b": b * weight}, [weight], step=step)
    assert list(balancer.weights.values()) == pytest.approx(weights([1.0, 2.0], 2.0))
