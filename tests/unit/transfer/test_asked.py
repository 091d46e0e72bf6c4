"""A model is asked where it is: rows travel to its device, and what is told of it comes back."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from polyrec.batch import Batch, Output
from polyrec.objectives.objective import build
from polyrec.recipes.endings import losses_of
from polyrec.testing import example_layout, random_batch
from polyrec.transfer.asked import asked, widths
from polyrec.transfer.candidates import Teacher, _representation
from polyrec.transfer.relation import relations

ROWS = random_batch(example_layout(3), 300)


class Elsewhere(nn.Module):
    """On the device "meta", which has shapes and no values, as a machine without a GPU has."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 4, device="meta")
        self.seen = []

    def forward(self, batch):
        self.seen.append(batch)
        hidden = self.layer(batch.numerics)
        return Output({"click": hidden.sum(1), "buy": hidden.sum(1)}, {"bottom": hidden})


@pytest.fixture
def model(monkeypatch):
    """What comes back from there is told as ones."""
    monkeypatch.setattr(torch.Tensor, "cpu", lambda one: torch.ones(one.shape) if one.is_meta else one)
    return Elsewhere()


def _told(model):
    """Every caller in a transfer that asks a model about rows."""
    objective = build("pointwise", ROWS.layout)
    result = SimpleNamespace(parts=SimpleNamespace(model=model, objective=SimpleNamespace(served=objective)))
    yield np.array(list(relations(model, objective, ROWS).values()))
    yield _representation(Teacher(model, objective), ROWS).numpy()
    yield losses_of(result, ROWS)


def test_rows_go_to_the_models_device_and_answers_come_back(model):
    told = list(_told(model))
    assert len(model.seen) == 3 + 1 + 1  # a relation for each scenario
    assert all(tensor.is_meta for batch in model.seen for tensor in (batch.numerics, batch.ids, batch.labels))
    assert [one.shape for one in told] == [(3,), (300, 4), (300,)]


def test_blocks_are_all_rows_once_and_a_plain_function_is_asked_as_it_is():
    rows = random_batch(example_layout(3), 9_000)
    found = [batch for _, batch in asked(lambda batch: Output({"click": batch.weight}), rows)]
    assert [len(one) for one in found] == [8_192, 808]
    assert torch.equal(torch.cat([one.ids for one in found]), rows.ids)
    assert list(asked(Elsewhere(), rows.select(torch.arange(0)))) == []


def test_widths_of_hidden_states_are_asked_for_on_the_device(model):
    assert widths(model, ROWS) == {"bottom": 4}
    assert isinstance(model.seen[0], Batch)
    assert model.seen[0].numerics.is_meta
