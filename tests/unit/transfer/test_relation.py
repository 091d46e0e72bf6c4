import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from polyrec.batch import Batch, Field, Layout, Output
from polyrec.objectives.objective import build
from polyrec.schema import Task
from polyrec.transfer.relation import _calibrated, relations

LAYOUT = Layout(("same", "none", "opposite", "mini"), (Task("click", "click"),), categorical=(Field("item", 12),))


class Known(nn.Module):
    """Preferences that each scenario has, with another base rate."""

    def forward(self, batch):
        taste = (batch.ids[:, 0].float() - 6.5) / 2
        sign = torch.tensor([1.0, 0.0, -1.0, 1.0])[batch.scenario]
        rate = torch.tensor([2.0, 0.0, 1.0, 0.0])[batch.scenario]
        return Output({"click": taste * sign + rate})


def rows(count):
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(2, 12, (count, 1), generator=random, dtype=torch.int32)
    scenario = torch.full((count,), 3)
    labels = torch.bernoulli(torch.sigmoid((ids[:, 0].float() - 6.5) / 2), generator=random)[:, None]
    numbers = torch.zeros(count, 0)
    return Batch(LAYOUT, ids, numbers, scenario, labels, labels >= 0, torch.ones(count), torch.arange(count))


def test_relations_are_the_share_of_what_is_explained_whatever_the_base_rate():
    found = relations(Known(), build("pointwise", LAYOUT), rows(3000))
    assert found["mini"] == pytest.approx(1.0)
    assert found["same"] == pytest.approx(1.0, abs=1e-6)  # its base rate is another one
    assert found["none"] == pytest.approx(0.0, abs=1e-6)
    assert found["opposite"] == 0.0


class Loud(Known):
    """As sure of itself as no model may be of rows that it has not seen."""

    def forward(self, batch):
        return Output({"click": 8 * super().forward(batch).logits["click"]})


def test_a_model_that_is_too_sure_tells_the_same_relations():
    plain, loud = (relations(one, build("pointwise", LAYOUT), rows(300)) for one in (Known(), Loud()))
    assert loud == pytest.approx(plain, abs=1e-3)
    assert plain["same"] > 0.9
    assert plain["opposite"] == 0.0


def test_calibration_is_the_best_slope_and_constant():
    random = torch.Generator().manual_seed(1)
    logit = 3 * torch.randn(400, 1, generator=random).double()
    label = torch.bernoulli(torch.sigmoid(logit[:, 0] / 4 - 1), generator=random)
    other = LogisticRegression(C=1e6, tol=1e-12, max_iter=10_000).fit(logit.numpy(), label.numpy())
    assert _calibrated(logit[:, 0], label).numpy() == pytest.approx(other.decision_function(logit.numpy()), abs=1e-3)
    turned = _calibrated(-logit[:, 0], label)
    assert turned.std() < 1e-12
    assert float(torch.sigmoid(turned[0])) == pytest.approx(float(label.mean()), abs=1e-6)


def test_a_model_that_explains_nothing_relates_nothing():
    class Silent(nn.Module):
        def forward(self, batch):
            return Output({"click": torch.zeros(len(batch))})

    assert set(relations(Silent(), build("pointwise", LAYOUT), rows(200)).values()) == {0.0}


def test_one_class_is_no_reason_to_fail():
    batch = rows(50)
    batch.labels[:] = 0.0
    assert set(relations(Known(), build("pointwise", LAYOUT), batch)) == set(LAYOUT.scenarios)
