"""MGDA: the point of the hull nearest to 0, by brute force, by its conditions and by hand."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from polyrec.objectives.balance import build
from polyrec.objectives.balance.hull import nearest


def brute(gradients, cells=60, rounds=6):
    """Shares of the shortest mixture: the best point of a grid on the simplex, then of finer ones around it."""
    count = len(gradients)
    middle, width = np.full(count - 1, 0.5), 0.5
    for _ in range(rounds):
        axes = [np.linspace(max(one - width, 0), min(one + width, 1), cells) for one in middle]
        grid = np.array(list(product(*axes)))
        grid = grid[grid.sum(1) <= 1]
        every = np.concatenate([grid, 1 - grid.sum(1, keepdims=True)], 1)
        middle = grid[np.linalg.norm(every @ gradients, axis=1).argmin()]
        width *= 4 / cells
    return np.append(middle, 1 - middle.sum())


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [2, 3])
def test_the_shortest_mixture_is_that_of_a_search(seed, count):
    chance = np.random.default_rng(seed)
    gradients = chance.normal(size=(count, 5)) * 10 ** chance.uniform(-1, 1, size=(count, 1))
    found, searched = nearest(gradients @ gradients.T), brute(gradients)
    assert np.linalg.norm(found @ gradients) <= np.linalg.norm(searched @ gradients) * (1 + 1e-6)
    np.testing.assert_allclose(found @ gradients, searched @ gradients, atol=1e-3 * np.abs(gradients).max())


@pytest.mark.parametrize("seed", range(300))
def test_no_gradient_points_less_far_along_the_mixture_than_the_mixture_itself(seed):
    chance = np.random.default_rng(seed)
    count, width = chance.integers(2, 7), chance.integers(1, 8)
    gradients = chance.normal(size=(count, width)) * 10 ** chance.uniform(-3, 1, size=(count, 1))
    if seed % 5 == 0:
        gradients[1] = -gradients[0] * chance.uniform(0.5, 2.0)
    if seed % 7 == 0:
        gradients[-1] = gradients[0]
    shares = nearest(gradients @ gradients.T)
    mixture = shares @ gradients
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1.0)
    assert (gradients @ mixture).min() >= mixture @ mixture - 1e-8 * (gradients**2).sum(1).mean()


def test_two_gradients_by_hand():
    # g = (1, 0), (-1, 2): on the line between them the nearest point to 0 is s g_a + (1 - s) g_b with
    # s = (g_b - g_a) . g_b / |g_b - g_a|^2 = (2 + 4) / 8 = 3/4: (0.5, 0.5). Times T = 2: weights 1.5 and 0.5.
    shared, tower = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    balancer = build("mgda", ("a", "b"))
    terms = {"a": shared[0] + 7 * tower[0], "b": 2 * shared[1] - shared[0]}
    balancer.backward(terms, [shared, tower], step=0, extra=10 * shared[0])
    assert balancer.weights == pytest.approx({"a": 1.5, "b": 0.5}, abs=1e-6)
    assert shared.grad.tolist() == pytest.approx([11.0, 1.0], abs=1e-5)
    assert tower.grad.tolist() == [7.0]


def test_where_a_gradient_is_shorter_than_its_shadow_it_decides_alone():
    # g_a = (1, 0), g_b = (3, 1): g_a . g_b = 3 >= |g_a|^2, so the nearest point is g_a itself.
    shared = nn.Parameter(torch.zeros(2))
    balancer = build("mgda", ("a", "b"))
    balancer.backward({"a": shared[0], "b": 3 * shared[0] + shared[1]}, [shared], step=0)
    assert shared.grad.tolist() == pytest.approx([2.0, 0.0], abs=1e-5)


def test_normalised_gradients_count_by_direction_alone():
    # Orthogonal, lengths as 1 to 100: unit vectors are mixed half and half, so weights are as 1 to 1/100, 2 in all.
    shared = nn.Parameter(torch.zeros(2))
    balancer = build("mgda", ("a", "b"), {"normalise": "norm"})
    balancer.backward({"a": shared[0] + shared[1], "b": 100 * (shared[0] - shared[1])}, [shared], step=0)
    assert balancer.weights == pytest.approx({"a": 2 / 1.01, "b": 0.02 / 1.01}, rel=1e-5)
    assert shared.grad.tolist() == pytest.approx([4 / 1.01, 0.0], abs=1e-5)


def test_sparse_tables_get_the_weights_too():
    table = nn.Embedding(4, 2, sparse=True)
    shared = nn.Parameter(torch.zeros(2))
    read = table(torch.tensor([1, 3])).sum()
    balancer = build("mgda", ("a", "b"))
    balancer.backward({"a": shared[0] + read, "b": 2 * shared[1] - shared[0] + read}, [table.weight, shared], step=0)
    assert table.weight.grad.is_sparse
    np.testing.assert_allclose(table.weight.grad.to_dense(), [[0, 0], [2, 2], [0, 0], [2, 2]], atol=1e-5)


def test_a_term_without_rows_takes_no_part():
    shared = nn.Parameter(torch.zeros(2))
    balancer = build("mgda", ("a", "b", "c"))
    terms = {"a": shared[0], "b": 0.0 * shared.sum(), "c": 2 * shared[1] - shared[0]}
    balancer.backward(terms, [shared], step=0)
    assert balancer.weights == pytest.approx({"a": 1.5, "b": 1.0, "c": 0.5}, abs=1e-6)
