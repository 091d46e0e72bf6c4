import math

import numpy as np
import pytest

from polyrec.errors import DataError
from polyrec.metrics.resample import Resample, clusters, percentiles


def test_few_users_keep_a_cluster_each():
    codes, count = clusters(np.array([2, 0, 2, 1]))
    assert codes.tolist() == [2, 0, 2, 1]
    assert count == 3


def test_rows_without_a_user_depend_on_no_other():
    codes, count = clusters(np.array([-1, 0, -1, 0]))
    assert codes.tolist() == [1, 0, 2, 0]
    assert count == 3


def test_many_users_are_dealt_evenly_and_stay_together():
    users = np.repeat(np.arange(50_000), 2)
    codes, count = clusters(users, limit=100)
    assert count == 100
    assert (codes[::2] == codes[1::2]).all()
    sizes = np.bincount(codes, minlength=100)
    assert sizes.min() > 800  # 1000 expected, standard deviation 45
    assert sizes.max() < 1200


def test_weights_are_poisson_with_mean_one():
    weights = Resample.poisson(1000, replicates=500, seed=3).weights
    assert weights.shape == (1000, 500)
    shares = np.bincount(weights.astype(int).ravel())[:5] / weights.size
    assert shares == pytest.approx([math.exp(-1) / math.factorial(k) for k in range(5)], abs=3e-3)
    assert weights.mean() == pytest.approx(1, abs=5e-3)
    assert weights.var() == pytest.approx(1, abs=1e-2)


def test_equal_seeds_give_equal_weights():
    one, two, other = (Resample.poisson(50, 10, seed).weights for seed in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()


def test_sums_are_the_same_whether_few_or_all_clusters_are_active():
    draws = Resample.poisson(40, 30)
    totals = np.zeros((40, 2))
    totals[3] = [1.5, 2.0]
    assert draws.sums(totals) == pytest.approx(draws.weights.T @ totals)
    totals += 1
    assert draws.sums(totals) == pytest.approx(draws.weights.T @ totals)


def test_too_few_replicates_are_refused():
    with pytest.raises(DataError, match="replicates = 1: a bootstrap needs at least 2; 400 are usual"):
        Resample.poisson(5, replicates=1)


def test_percentiles_need_nine_in_ten_replicates_to_be_defined():
    values = np.linspace(0, 1, 101)
    assert percentiles(values) == pytest.approx((0.025, 0.975))
    values[:10] = np.nan
    assert percentiles(values) is not None
    values[:11] = np.inf
    assert percentiles(values) is None
