"""Small layouts and batches, every label given."""

import pytest
import torch

from polyrec.batch import Batch, Layout
from polyrec.schema import Task

FUNNEL = (Task("click", "c"), Task("cart", "a", after="click"), Task("buy", "b", after="cart"))


@pytest.fixture
def funnel():
    return Layout(("home", "feed"), FUNNEL)


@pytest.fixture
def make():
    def batch(layout, labels, observed=None, scenario=None, weight=None):
        table = torch.tensor(labels, dtype=torch.float32).reshape(-1, len(layout.tasks))
        rows = len(table)
        seen = torch.ones_like(table, dtype=torch.bool) if observed is None else torch.tensor(observed)
        return Batch(
            layout,
            torch.zeros(rows, 0, dtype=torch.int32),
            torch.zeros(rows, 0),
            torch.zeros(rows, dtype=torch.long) if scenario is None else torch.tensor(scenario),
            table,
            seen.reshape(table.shape),
            torch.ones(rows) if weight is None else torch.tensor(weight),
            torch.zeros(rows, dtype=torch.long),
        )

    return batch
