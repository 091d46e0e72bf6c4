"""PCGrad against the paper's loop over vectors, in float64 and written out."""

import numpy as np
import pytest
import torch
from torch import nn

from polyrec.objectives.balance import build
from polyrec.objectives.balance.pcgrad import mixture


def project(gradients, orders):
    return mixture(gradients @ gradients.T, orders).sum(0) @ gradients


def paper(gradients, orders):
    """Algorithm 1 of the paper on plain vectors."""
    total = np.zeros(gradients.shape[1])
    for task, order in enumerate(orders):
        projected = gradients[task].copy()
        for other in order:
            inner = projected @ gradients[other]
            if inner < 0:
                projected -= inner / (gradients[other] @ gradients[other]) * gradients[other]
        total += projected
    return total


@pytest.mark.parametrize("seed", range(10))
def test_the_projection_is_that_of_the_paper_in_any_order(seed):
    chance = np.random.default_rng(seed)
    gradients = chance.normal(size=(4, 5))
    orders = [[other for other in chance.permutation(4).tolist() if other != task] for task in range(4)]
    ours = project(gradients, orders)
    np.testing.assert_allclose(ours, paper(gradients, orders), rtol=1e-10)


def test_gradients_that_agree_are_summed():
    gradients = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert project(gradients, [[1], [0]]).tolist() == [2.0, 1.0]


def test_a_gradient_of_zero_changes_nothing():
    gradients = np.array([[1.0, -1.0], [0.0, 0.0]])
    assert project(gradients, [[1], [0]]).tolist() == [1.0, -1.0]


def test_shared_parameters_get_the_projected_gradient_and_towers_their_own():
    # grad of a at (shared) is (1, 0), of b (-1, 1): they conflict; by hand the sum is (0.5, 1.5).
    shared, tower = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    balancer = build("pcgrad", ("a", "b"))
    terms = {"a": shared[0] + 7 * tower[0], "b": shared[1] - shared[0]}
    balancer.backward(terms, [shared, tower], step=0)
    assert shared.grad.tolist() == [0.5, 1.5]
    assert tower.grad.tolist() == [7.0]


def test_sparse_tables_take_the_plain_sum():
    table = nn.Embedding(4, 2, sparse=True)
    shared = nn.Parameter(torch.ones(2))
    read = table(torch.tensor([1, 3]))
    balancer = build("pcgrad", ("a", "b"))
    balancer.backward({"a": (read * shared).sum(), "b": (-2 * read).sum()}, [table.weight, shared], step=0)
    assert table.weight.grad.is_sparse
    assert table.weight.grad.to_dense().tolist() == [[0, 0], [-1, -1], [0, 0], [-1, -1]]


def test_a_penalty_is_added_unprojected():
    shared = nn.Parameter(torch.zeros(2))
    balancer = build("pcgrad", ("a", "b"))
    terms = {"a": shared[0], "b": shared[1] - shared[0]}
    balancer.backward(terms, [shared], step=0, extra=10 * shared.sum())
    assert shared.grad.tolist() == [10.5, 11.5]


def test_the_order_depends_on_the_seed_and_the_step_alone():
    drawn = [build("pcgrad", tuple("abcdef"), {"seed": seed})._orders(step) for seed, step in ((1, 2), (1, 2), (1, 3))]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    for task, order in enumerate(drawn[0]):
        assert sorted([*order, task]) == list(range(6))
