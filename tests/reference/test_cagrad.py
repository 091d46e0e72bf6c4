"""CAGrad: its direction against a search of the ball, and its optimality by weak duality."""

import numpy as np
import pytest
import torch
from torch import nn

from polyrec.objectives.balance import build
from polyrec.objectives.balance.cagrad import averse


def drawn(seed):
    chance = np.random.default_rng(seed)
    count, width = chance.integers(2, 6), chance.integers(2, 8)
    gradients = chance.normal(size=(count, width)) * 10 ** chance.uniform(-2, 1, size=(count, 1))
    if seed % 5 == 0:
        gradients[1] = -gradients[0] * chance.uniform(0.5, 2.0)
    if seed % 7 == 0:
        gradients[-1] = gradients[0]
    return gradients, chance.uniform(0.1, 0.9)


@pytest.mark.parametrize("seed", range(12))
def test_in_the_plane_no_direction_of_the_ball_is_better_for_the_term_worst_off(seed):
    chance = np.random.default_rng(seed)
    gradients = chance.normal(size=(3, 2))
    mean, c = gradients.mean(0), 0.5
    radius = c * np.linalg.norm(mean)
    ours = averse(gradients @ gradients.T, c) @ gradients / 3
    assert np.linalg.norm(ours - mean) <= radius * (1 + 1e-6)
    angles, lengths = np.linspace(0, 2 * np.pi, 2000), np.linspace(0, radius, 60)
    ball = mean + (lengths[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], 1)).reshape(-1, 2)
    best = (ball @ gradients.T).min(1).max()
    assert (gradients @ ours).min() >= best - 1e-4 * np.abs(best)


@pytest.mark.parametrize("seed", range(300))
def test_the_direction_reaches_an_upper_bound_of_what_the_ball_allows(seed):
    # For any v >= 0 that sums to 1 and any d of the ball, min_i g_i . d <= g_v . d <= g_v . g_0 + radius |g_v|.
    # The v that we used must make the two ends meet.
    gradients, c = drawn(seed)
    mean = gradients.mean(0)
    radius, scale = c * np.linalg.norm(mean), (gradients**2).sum(1).mean()
    weights = averse(gradients @ gradients.T, c)
    ours = weights @ gradients / len(gradients)
    assert np.linalg.norm(ours - mean) <= radius * (1 + 1e-6)
    v = (weights - 1) / (weights - 1).sum()
    bound = (v @ gradients) @ mean + radius * np.linalg.norm(v @ gradients)
    assert v.min() >= 0
    assert (gradients @ ours).min() >= bound - 1e-4 * scale


def test_two_orthogonal_gradients_by_hand():
    # g = (1, 1), (3, -3); g_0 = (2, -1), and the ball's radius is sqrt(5) / 2. With v all on the first gradient,
    # d = g_0 + sqrt(5) / 2 (1, 1) / sqrt(2) = (2.790569, -0.209431), and the first is still the worst off: it gains
    # 2.58, the second 9. Its weight is 1 + 2 * sqrt(5) / 2 / sqrt(2) = 2.581139.
    shared, tower = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    balancer = build("cagrad", ("a", "b"), {"c": 0.5})
    terms = {"a": shared.sum() + 7 * tower[0], "b": 3 * (shared[0] - shared[1])}
    balancer.backward(terms, [shared, tower], step=0)
    assert shared.grad.tolist() == pytest.approx([2 * 2.790569, -2 * 0.209431], abs=1e-4)
    assert tower.grad.tolist() == [7.0]
    assert balancer.weights == pytest.approx({"a": 2.581139, "b": 1.0}, abs=1e-4)


@pytest.mark.parametrize(
    ("gradients", "c"), [(np.eye(3), 0.0), (np.array([[1.0, 2.0], [-1.0, -2.0]]), 0.5)], ids=["c = 0", "mean of 0"]
)
def test_without_a_ball_it_is_the_plain_sum(gradients, c):
    np.testing.assert_array_equal(averse(gradients @ gradients.T, c), np.ones(len(gradients)))


def test_a_term_without_rows_takes_no_part():
    shared = nn.Parameter(torch.zeros(2))
    balancer = build("cagrad", ("a", "b", "c"), {"c": 0.5})
    terms = {"a": shared.sum(), "b": 0.0 * shared.sum(), "c": 3 * (shared[0] - shared[1])}
    balancer.backward(terms, [shared], step=0)
    assert balancer.weights == pytest.approx({"a": 2.581139, "b": 1.0, "c": 1.0}, abs=1e-4)
