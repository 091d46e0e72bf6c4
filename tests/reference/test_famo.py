"""FAMO: weights before the step, and xi after it, by hand; Adam written out."""

from math import log, sqrt

import pytest
import torch
from torch import nn

from polyrec.objectives.balance import build


def values(*losses):
    return {name: torch.tensor(float(loss)) for name, loss in zip("abc", losses, strict=False)}


def test_weights_are_those_of_balanced_logarithms():
    # z = (1/2, 1/2), c = 1 / (0.5 / 1 + 0.5 / 0.25) = 0.4; w = T c z / L = (0.4, 1.6).
    weight = nn.Parameter(torch.ones(()))
    balancer = build("famo", ("a", "b"))
    balancer.backward({"a": weight, "b": 0.25 * weight}, [weight], step=0, extra=3 * weight)
    assert list(balancer.weights.values()) == pytest.approx([0.4, 1.6])
    assert weight.grad.item() == pytest.approx(0.4 + 1.6 * 0.25 + 3)


def test_a_loss_that_fell_more_weighs_less_from_then_on():
    weight = nn.Parameter(torch.ones(()))
    balancer = build("famo", ("a", "b"), {"lr": 0.1, "decay": 0.0})
    balancer.backward({"a": weight, "b": 0.25 * weight}, [weight], step=0)
    balancer.after(lambda: values(0.5, 0.25))
    # delta = (log 2, 0); slope = z (delta - z . delta) = (log(2) / 4, -log(2) / 4); Adam's first step is lr by sign.
    assert balancer.xi.tolist() == pytest.approx([-0.1, 0.1], rel=1e-5)
    balancer.backward({"a": weight, "b": weight}, [weight], step=1)
    z = [1 / (1 + 2.718281828**0.2), 1 / (1 + 2.718281828**-0.2)]
    assert list(balancer.weights.values()) == pytest.approx([2 * z[0], 2 * z[1]])


def test_two_steps_are_adams_with_the_pull_to_even_weights():
    weight, lr, decay = nn.Parameter(torch.ones(())), 0.1, 0.5
    balancer = build("famo", ("a", "b"), {"lr": lr, "decay": decay})
    xi, first, second = [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]
    for step, ((a, b), (c, d)) in enumerate([((1.0, 2.0), (0.5, 1.9)), ((0.6, 1.8), (0.5, 1.2))], 1):
        balancer.backward({"a": a * weight, "b": b * weight}, [weight], step=step - 1)
        balancer.after(lambda c=c, d=d: values(c, d))
        share = [2.718281828459045**one for one in xi]
        z = [one / sum(share) for one in share]
        fell = [log(a / c), log(b / d)]
        mean = z[0] * fell[0] + z[1] * fell[1]
        for place in range(2):
            slope = z[place] * (fell[place] - mean) + decay * xi[place]
            first[place] = 0.9 * first[place] + 0.1 * slope
            second[place] = 0.999 * second[place] + 0.001 * slope**2
        xi = [
            xi[place] - lr * (first[place] / (1 - 0.9**step)) / (sqrt(second[place] / (1 - 0.999**step)) + 1e-8)
            for place in range(2)
        ]
        assert balancer.xi.tolist() == pytest.approx(xi, rel=1e-4)


def test_a_term_without_rows_keeps_its_xi_and_stays_out_of_the_others():
    weight = nn.Parameter(torch.ones(()))
    balancer, alone = build("famo", ("a", "b", "c")), build("famo", ("a", "b"))
    balancer.backward({"a": weight, "b": 0.25 * weight, "c": 0.0 * weight}, [weight], step=0)
    balancer.after(lambda: values(0.5, 0.25, 0.0))
    alone.backward({"a": weight, "b": 0.25 * weight}, [weight], step=0)
    alone.after(lambda: values(0.5, 0.25))
    assert balancer.weights == pytest.approx({**alone.weights, "c": 1.0})
    assert balancer.xi.tolist() == pytest.approx([*alone.xi.tolist(), 0.0])
    assert balancer.looks.tolist() == [1.0, 1.0, 0.0]
