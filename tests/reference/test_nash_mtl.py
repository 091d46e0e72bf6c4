"""Nash-MTL: the bargaining equations themselves, two terms by hand, and what losses' scales must not change."""

import numpy as np
import pytest
import torch
from torch import nn

from polyrec.objectives.balance import build
from polyrec.objectives.balance.nash_mtl import bargain


def drawn(seed):
    chance = np.random.default_rng(seed)
    count = chance.integers(1, 7)
    return chance.normal(size=(count, 9)) * 10 ** chance.uniform(-3, 3, size=(count, 1))


@pytest.mark.parametrize("seed", range(200))
def test_every_gradient_gains_one_over_its_weight(seed):
    gradients = drawn(seed)
    weights = bargain(gradients @ gradients.T, 1e-10)
    alpha = weights / np.sqrt((gradients**2).sum(1).mean())
    assert weights.min() > 0
    np.testing.assert_allclose(gradients @ (alpha @ gradients) * alpha, 1.0, rtol=1e-6)


@pytest.mark.parametrize("seed", range(100))
def test_with_a_ridge_the_equations_hold_even_where_gradients_cancel(seed):
    gradients, ridge = drawn(seed), 10.0 ** -(1 + seed % 6)
    gradients = np.concatenate([gradients, -gradients[:1] * 2.5])
    length = np.linalg.norm(gradients, axis=1)
    weights = bargain(gradients @ gradients.T, ridge)
    u, unit = weights * length / np.sqrt((length**2).mean()), gradients / length[:, None]
    np.testing.assert_allclose((unit @ (u @ unit) + ridge * u) * u, 1.0, rtol=1e-6)
    assert ridge * (u @ u) <= len(u) * (1 + 1e-9)


def test_two_terms_by_hand():
    # With a = |g_1|^2, d = |g_2|^2, b = g_1 . g_2, the equations a w + b v = 1/w and b w + d v = 1/v give a w^2 = d v^2
    # and w^2 (a + b sqrt(a / d)) = 1. Here g = (3, 0), (-1, 1): a, b, d over the mean square, 11/2.
    a, b, d = 9 / 5.5, -3 / 5.5, 2 / 5.5
    w = (a + b * (a / d) ** 0.5) ** -0.5
    v = w * (a / d) ** 0.5
    shared, tower = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    balancer = build("nash_mtl", ("a", "b"), {"ridge": 1e-9})
    balancer.backward({"a": 3 * shared[0] + 7 * tower[0], "b": shared[1] - shared[0]}, [shared, tower], step=0)
    assert balancer.weights == pytest.approx({"a": w, "b": v}, rel=1e-5)
    assert shared.grad.tolist() == pytest.approx([3 * w - v, v], rel=1e-5)
    assert tower.grad.tolist() == [7.0]


def test_the_direction_does_not_know_the_scale_of_a_loss():
    gradients = np.random.default_rng(0).normal(size=(3, 6))
    other = gradients * np.array([[1000.0], [1.0], [0.01]])
    first, second = (bargain(one @ one.T, 1e-12) @ one for one in (gradients, other))
    np.testing.assert_allclose(first / np.linalg.norm(first), second / np.linalg.norm(second), rtol=1e-4)


def test_orthogonal_gradients_of_one_length_are_summed_plainly():
    np.testing.assert_allclose(bargain(4.0 * np.eye(3), 1e-12), np.ones(3))


def test_gradients_that_point_against_each_other_keep_bounded_weights():
    # g and -g: by symmetry w = v, and the sums cancel but for the ridge: ridge w = 1 / w.
    np.testing.assert_allclose(bargain(np.array([[1.0, -1.0], [-1.0, 1.0]]), 1e-3), np.full(2, 1e-3**-0.5))


def test_a_term_without_rows_takes_no_part():
    shared = nn.Parameter(torch.zeros(2))
    balancer = build("nash_mtl", ("a", "b", "c"), {"ridge": 1e-9})
    terms = {"a": shared[0] + shared[1], "b": 0.0 * shared.sum(), "c": shared[0] - shared[1]}
    balancer.backward(terms, [shared], step=0)
    assert balancer.weights == pytest.approx({"a": 1.0, "b": 1.0, "c": 1.0}, rel=1e-5)
