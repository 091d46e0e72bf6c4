import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from polyrec.errors import DataError
from polyrec.metrics.binary import auc as area
from polyrec.transfer.adaptation import PENALTY, _fitted, adapt


def rows(count, shift, seed):
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)) + torch.tensor([shift, 0.0, 0.0, 0.0])


def test_candidates_drawn_like_the_target_weigh_about_one():
    found = adapt(rows(1500, 0, 0), rows(3000, 0, 1), np.arange(1500), np.arange(1500, 4500))
    assert float(found.weights.mean()) == pytest.approx(1.0, abs=0.05)
    assert float(found.weights.std()) < 0.15
    assert found.auc == pytest.approx(0.5, abs=0.03)
    assert found.effective > 0.97 * 3000


def test_weights_are_the_ratio_of_densities():
    candidates = rows(4000, -0.5, 1)
    found = adapt(rows(4000, 0.5, 0), candidates, np.arange(4000), np.arange(4000, 8000), clip=50.0)
    ratio = torch.exp(candidates[:, 0])  # of two normals one apart, in the middle between them
    assert torch.corrcoef(torch.stack([found.weights.log(), ratio.log()]))[0, 1] > 0.98
    assert float((found.weights.log() - ratio.log()).abs().mean()) < 0.15


def test_weight_of_rows_unlike_the_target_falls_as_they_get_farther():
    means = [
        float(adapt(rows(800, 0, 0), rows(800, shift, 1), np.arange(800), np.arange(800, 1600)).weights.median())
        for shift in (0.0, 1.0, 2.0, 4.0)
    ]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.05


def test_weights_are_bounded_and_the_bound_is_told():
    found = adapt(rows(500, 3, 0), rows(500, 0, 1), np.arange(500), np.arange(500, 1000), clip=2.0)
    assert float(found.weights.max()) == pytest.approx(2.0)
    assert 0 < found.clipped < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_no_row_is_judged_by_a_classifier_that_learned_from_it(seed):
    random = torch.Generator().manual_seed(seed)
    target, candidates = torch.randn(60, 30, generator=random), torch.randn(60, 30, generator=random)
    whole = torch.cat([target, candidates]).double()
    label = torch.cat([torch.ones(60), torch.zeros(60)]).double()
    known = area(_fitted(whole, label, whole).numpy(), label.numpy() > 0.5).value
    found = adapt(target, candidates, np.arange(60), np.arange(60, 120))
    assert known > 0.7  # noise, learned by heart
    assert 0.3 < found.auc < 0.7


def test_rows_of_one_user_are_judged_together():
    """Each user has one target row and its twin among the candidates: apart, the one would give the other away."""
    target = rows(200, 0, 0)
    users = np.arange(200)
    assert adapt(target, target.clone(), users, users).auc == pytest.approx(0.5, abs=0.02)


def test_the_classifier_is_a_balanced_logistic_regression():
    x = torch.cat([rows(30, 1, 0), rows(90, 0, 1)]).double()
    y = torch.cat([torch.ones(30), torch.zeros(90)]).double()
    other = LogisticRegression(C=1 / PENALTY, tol=1e-12, max_iter=10_000)
    weight = np.where(y.numpy() > 0.5, 1.0, 30 / 90)
    other.fit(x.numpy(), y.numpy(), sample_weight=weight)
    assert _fitted(x, y, x).numpy() == pytest.approx(other.decision_function(x.numpy()), abs=1e-4)


def test_a_representation_without_spread_weighs_all_alike():
    found = adapt(torch.zeros(20, 3), torch.zeros(30, 3), np.arange(20), np.arange(20, 50))
    assert found.weights.tolist() == pytest.approx([1.0] * 30, abs=1e-6)


def test_either_side_empty_is_refused():
    with pytest.raises(DataError, match="0 candidates"):
        adapt(rows(5, 0, 0), rows(0, 0, 0), np.arange(5), np.arange(0))
