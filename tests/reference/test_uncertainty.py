"""Uncertainty weighting: values, gradients and the resting point, by hand."""

from math import exp, log

import pytest
import torch
from torch import nn

from polyrec.objectives.balance import build


def test_gradients_by_hand():
    # total = exp(-s) L + s / 2: d/dL = exp(-s), d/ds = -exp(-s) L + 1/2.
    weight = nn.Parameter(torch.ones(1))
    balancer = build("uncertainty", ("a", "b"), {"log_variance": 0.4})
    balancer.backward({"a": 3 * weight[0], "b": 0.5 * weight[0]}, [weight], step=0)
    assert weight.grad.item() == pytest.approx(exp(-0.4) * 3.5)
    assert balancer.log_variance.grad.tolist() == pytest.approx([0.5 - 3 * exp(-0.4), 0.5 - 0.5 * exp(-0.4)])
    assert balancer.weights == pytest.approx({"a": exp(-0.4), "b": exp(-0.4)})


def test_at_rest_the_variance_is_twice_the_loss():
    weight = nn.Parameter(torch.ones(1))
    balancer = build("uncertainty", ("a",))
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.5)
    for step in range(300):
        optimizer.zero_grad()
        balancer.backward({"a": 0.1 * weight[0]}, [weight], step=step)
        optimizer.step()
    assert balancer.log_variance.item() == pytest.approx(log(0.2), abs=1e-4)


def test_a_term_without_rows_leaves_its_variance_alone():
    weight = nn.Parameter(torch.ones(1))
    balancer = build("uncertainty", ("a", "b"))
    balancer.backward({"a": weight[0], "b": 0.0 * weight[0]}, [weight], step=0)
    assert balancer.log_variance.grad[1] == 0.0
    assert balancer.log_variance.grad[0] != 0.0
