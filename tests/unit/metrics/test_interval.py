import numpy as np
import pytest

from polyrec.errors import DataError
from polyrec.metrics import interval
from polyrec.metrics.interval import Influence


def clustered(random, users):
    """Users with rows of their own rate and of their own level of score, so that rows of a user are alike."""
    rows = random.poisson(4, users) + 1
    user = np.repeat(np.arange(users), rows)
    taste, level = random.normal(0, 1.2, users), random.normal(0, 1.0, users)
    signal = random.normal(size=len(user))
    labels = random.random(len(user)) < 1 / (1 + np.exp(1 - signal - taste[user]))
    return (signal + level[user] + 0.5 * taste[user]).astype(np.float32), labels, user


def test_an_interval_holds_the_truth_as_often_as_it_says():
    truth = interval.auc(*clustered(np.random.default_rng(1), 200_000)[:2]).value
    random = np.random.default_rng(2)
    held = {"users": 0, "rows": 0}
    for _ in range(300):
        scores, labels, user = clustered(random, 150)
        for name, clusters in (("users", user), ("rows", None)):
            found = interval.auc(scores, labels, clusters)
            held[name] += found.low <= truth <= found.high
    assert 0.91 < held["users"] / 300 < 0.99
    assert held["rows"] < held["users"]  # rows taken as independent: too narrow


def test_an_interval_stays_within_zero_and_one():
    scores = np.array([0.1, 0.2, 0.35, 0.3, 0.8, 0.9])
    found = interval.auc(scores, np.array([False, False, False, True, True, True]))
    assert 0 < found.low < found.value == 8 / 9 < found.high < 1


def test_a_higher_level_gives_a_wider_interval():
    scores, labels, user = clustered(np.random.default_rng(3), 100)
    narrow, wide = (interval.auc(scores, labels, user, level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_a_perfect_ranking_is_bounded_by_its_independent_pairs():
    found = interval.auc(np.arange(6.0), np.arange(6) > 2)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 3))
    assert found.note == "interval from 3 independent pairs, all of one outcome"
    turned = interval.auc(-np.arange(6.0), np.arange(6) > 2)
    assert (turned.value, turned.low, turned.high) == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 3)))


def test_pairs_of_one_user_are_not_independent():
    labels = np.arange(8) % 2 == 1
    found = interval.auc(labels.astype(float), labels, np.arange(8) // 4)
    assert found.low == pytest.approx(0.025)
    assert "from 1 independent pairs" in found.note


def test_there_is_no_interval_where_one_user_has_all_the_positives():
    scores, labels = np.array([0.3, 0.2, 0.4, 0.1]), np.array([True, True, False, False])
    found = interval.auc(scores, labels, np.array([0, 0, 1, 2]))
    assert found.value == 0.5
    assert (found.low, found.high) == (None, None)
    assert found.note == "no interval: all positives are one user's or one row"
    assert "all negatives" in interval.auc(scores, ~labels, np.array([0, 0, 1, 2])).note


def test_one_class_is_undefined():
    assert interval.auc(np.zeros(3), np.zeros(3, dtype=bool)).note == "no positives"
    assert interval.auc(np.zeros(0), np.zeros(0, dtype=bool)).note == "no rows"


def test_clusters_of_another_length_are_refused():
    with pytest.raises(DataError, match=r"clusters are int64 of shape \(3,\): give one integer for each of 2 rows"):
        interval.auc(np.zeros(2), np.array([True, False]), np.zeros(3, dtype=np.int64))


def test_a_constant_score_is_one_half_without_doubt():
    found = interval.auc(np.zeros(10), np.arange(10) > 6)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_equal_parts_have_as_many_degrees_of_freedom_as_clusters_less_one():
    assert Influence(0.0, np.tile([1.0, -1.0], 50)).freedom == 99
    assert Influence(0.0, np.zeros(100)).freedom == 1


def test_one_heavy_cluster_leaves_few_degrees_of_freedom():
    parts = np.full(1000, 0.01)
    parts[0] = 5.0
    assert Influence(0.0, parts).freedom <= 2
