from decimal import Decimal, localcontext

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from polyrec.objectives import logspace
from polyrec.objectives.logspace import LogProbability, chain

LOGITS = st.floats(-100, 100, allow_nan=False)


def exact_sigmoid(logit):
    return 1 / (1 + (-Decimal(logit)).exp())


def exact_logit(p):
    return (p / (1 - p)).ln()


def close(found, expected):
    return float(found) == pytest.approx(float(expected), rel=1e-9, abs=1e-9)


@given(st.lists(LOGITS, min_size=1, max_size=5))
def test_a_chain_is_the_logit_of_the_product(logits):
    with localcontext() as context:
        context.prec = 400
        product = Decimal(1)
        for logit in logits:
            product *= exact_sigmoid(logit)
        expected = exact_logit(product)
    assert close(chain([torch.tensor(one, dtype=torch.float64) for one in logits]), expected)


@given(LOGITS, LOGITS)
def test_the_complement_keeps_every_digit(first, second):
    both = LogProbability.of(torch.tensor(first, dtype=torch.float64)).then(
        LogProbability.of(torch.tensor(second, dtype=torch.float64))
    )
    with localcontext() as context:
        context.prec = 400
        product = exact_sigmoid(first) * exact_sigmoid(second)
        assert close(both.yes, product.ln())
        assert close(both.no, (1 - product).ln())


@given(LOGITS, LOGITS, LOGITS)
def test_total_probability_is_the_mixture(gate, yes, no):
    parts = [LogProbability.of(torch.tensor(one, dtype=torch.float64)) for one in (gate, yes, no)]
    with localcontext() as context:
        context.prec = 400
        g, y, n = (exact_sigmoid(one) for one in (gate, yes, no))
        expected = exact_logit(g * y + (1 - g) * n)
    assert close(logspace.given(*parts).logit, expected)


@given(st.lists(st.sampled_from([-1e4, -100.0, 0.0, 100.0, 1e4]), min_size=2, max_size=4))
def test_extreme_logits_give_finite_logits_and_gradients_in_float32(logits):
    given_logits = [torch.tensor(one, requires_grad=True) for one in logits]
    found = chain(given_logits)
    found.backward()
    assert torch.isfinite(found)
    assert all(torch.isfinite(one.grad) for one in given_logits)


def test_gradients_are_those_of_the_formula():
    logits = [torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in (0.3, -1.2, 4.0)]
    assert torch.autograd.gradcheck(lambda *found: chain(found), logits)
