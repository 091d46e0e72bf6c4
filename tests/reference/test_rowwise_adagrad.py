"""The sparse row-wise Adagrad against the formula applied to whole, dense tables in float64."""

import numpy as np
import pytest
import torch
from torch import nn

from polyrec.training.rowwise import RowwiseAdagrad

ROWS, WIDTH = 40, 6


def dense_rowwise_adagrad(weight, batches, lr, eps, decay):
    """Every row of the table at every step; rows that a batch does not read are masked out by hand."""
    weight = weight.astype(np.float64).copy()
    sums = np.zeros(len(weight))
    for ids, upstream in batches:
        gradient = np.zeros_like(weight)
        for row, values in zip(ids, upstream, strict=True):
            gradient[row] += values
        read = np.isin(np.arange(len(weight)), ids)
        gradient += decay * weight * read[:, None]
        sums += (gradient**2).mean(axis=1)
        weight -= lr * gradient / (np.sqrt(sums) + eps)[:, None] * read[:, None]
    return weight, sums


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_the_sparse_update_equals_the_dense_formula(decay):
    chance = np.random.default_rng(3)
    start = chance.normal(size=(ROWS, WIDTH)).astype(np.float32)
    batches = [(chance.integers(0, ROWS, 25), chance.normal(size=(25, WIDTH)).astype(np.float32)) for _ in range(30)]
    table = nn.Embedding(ROWS, WIDTH, sparse=True, _weight=torch.tensor(start))
    optimizer = RowwiseAdagrad({"table": table.weight}, lr=0.05, eps=1e-8, decay=decay)
    for ids, upstream in batches:
        table.weight.grad = None
        (table(torch.tensor(ids)) * torch.tensor(upstream)).sum().backward()
        optimizer.step()
    weight, sums = dense_rowwise_adagrad(start, batches, 0.05, 1e-8, decay)
    np.testing.assert_allclose(table.weight.detach().numpy(), weight, rtol=0, atol=1e-6)
    np.testing.assert_allclose(optimizer.sums["table"].numpy(), sums, rtol=1e-5)


def test_two_steps_by_hand():
    # One row of width 2. G = (3, 4): a = 12.5, step = 0.1 * G / 3.5355. Then G = (0, 2): a = 14.5.
    table = nn.Embedding(1, 2, sparse=True, _weight=torch.tensor([[1.0, 1.0]]))
    optimizer = RowwiseAdagrad({"table": table.weight}, lr=0.1)
    for upstream in ([3.0, 4.0], [0.0, 2.0]):
        table.weight.grad = None
        (table(torch.tensor([0])) * torch.tensor([upstream])).sum().backward()
        optimizer.step()
    expected = [1 - 0.1 * 3 / 12.5**0.5, 1 - 0.1 * 4 / 12.5**0.5 - 0.1 * 2 / 14.5**0.5]
    np.testing.assert_allclose(table.weight[0].detach().numpy(), expected, rtol=1e-6)


def test_a_row_that_is_not_read_stays_as_it_is_decay_included():
    table = nn.Embedding(5, 2, sparse=True)
    before = table.weight.detach().clone()
    optimizer = RowwiseAdagrad({"table": table.weight}, lr=0.1, decay=0.5)
    table(torch.tensor([2, 2])).sum().backward()
    optimizer.step()
    changed = (table.weight != before).any(1).tolist()
    assert changed == [False, False, True, False, False]
