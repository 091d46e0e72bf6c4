"""What candidates weigh together, and whom rows of nobody belong to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from polyrec.batch import NO_USER
from polyrec.testing import example_layout, random_batch
from polyrec.transfer.adaptation import _folds, adapt
from polyrec.transfer.candidates import Found
from polyrec.transfer.people import people


@pytest.mark.parametrize("beta", [0.3, 2.0])
def test_candidates_weigh_beta_times_the_target_whatever_rows_weigh_of_their_own(beta):
    random = torch.Generator().manual_seed(0)
    target, candidates = (
        replace(one, weight=torch.rand(len(one), generator=random) * 5)
        for one in (random_batch(example_layout(2), 40), random_batch(example_layout(2), 300, seed=1))
    )
    weights = torch.rand(300, generator=random)
    whole = Found(target, candidates, weights, {}, candidates.scenario).together(beta)
    mine, theirs = whole.weight[:40], whole.weight[40:]
    assert torch.equal(mine, target.weight)
    assert float(theirs.sum()) == pytest.approx(beta * float(mine.sum()), rel=1e-5)
    expected = candidates.weight * weights  # in proportion to both
    torch.testing.assert_close(theirs / theirs.sum(), expected / expected.sum())


def test_rows_of_nobody_are_each_alone():
    users = np.array([4, NO_USER, -3, 4, NO_USER])
    found = people(users)
    assert sorted(set(found.tolist())) == [0, 1, 2, 3]
    assert found[0] == found[3]
    assert len({found[1], found[2], found[4]}) == 3


def test_a_log_without_users_is_weighed_in_all_folds():
    nobody = np.full(500, NO_USER)
    assert np.bincount(_folds(nobody, 5)).tolist() == [100] * 5
    random = torch.Generator().manual_seed(0)
    near = torch.randn(500, 3, generator=random) + 1
    others = torch.cat([torch.randn(250, 3, generator=random) + 1, torch.randn(250, 3, generator=random) - 1])
    found = adapt(near, others, nobody, nobody)
    assert found.weights[:250].mean() > 5 * found.weights[250:].mean()
    assert found.auc > 0.6
