import numpy as np
import pytest

from polyrec.errors import DataError
from polyrec.metrics import auc, gauc
from polyrec.metrics.grouped import by_user


def flags(text):
    return np.array([one == "1" for one in text], dtype=bool)


def test_users_are_weighted_by_their_rows():
    # user 3: rows (.1, 0), (.2, 1): AUC 1, two rows; user 7: (.9, 0), (.5, 1), (.6, 0), (.4, 1): AUC 0, four rows
    scores = np.array([0.1, 0.9, 0.2, 0.5, 0.6, 0.4])
    users = np.array([3, 7, 3, 7, 7, 7])
    found = gauc(scores, flags("001101"), users)
    assert found.value == pytest.approx(2 / 6)
    assert found.note is None


def test_one_class_users_are_skipped_and_counted():
    scores, users = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0, 0, 1, 1, 2])
    found = by_user(scores, flags("01000"), users)
    assert found.users.tolist() == [0]
    assert (found.skipped_users, found.skipped_rows) == (2, 3)
    assert found.estimate.value == 1.0
    assert found.estimate.note == "skipped 2 of 3 users (3 of 5 rows): their labels are all equal"


def test_gauc_is_undefined_where_every_user_has_one_class():
    found = gauc(np.array([0.1, 0.2]), flags("01"), np.array([0, 1]))
    assert found.value is None
    assert found.note == "skipped 2 of 2 users (2 of 2 rows): their labels are all equal"
    assert gauc(np.zeros(0), flags(""), np.zeros(0, dtype=int)).note == "no rows"


def test_ties_within_a_user_count_one_half_and_across_users_nothing():
    scores = np.array([0.5, 0.5, 0.5, 0.2])
    assert gauc(scores, flags("0110"), np.array([1, 1, 2, 2])).value == pytest.approx((0.5 * 2 + 1.0 * 2) / 4)


def test_one_user_has_the_plain_auc():
    random = np.random.default_rng(0)
    scores, labels = random.normal(size=500).round(1), random.random(500) < 0.4
    assert gauc(scores, labels, np.full(500, 2**31 - 1)).value == auc(scores, labels).value


def test_many_users_agree_with_one_auc_a_user():
    random = np.random.default_rng(1)
    scores, labels = random.normal(size=4000).round(1), random.random(4000) < 0.3
    users = random.integers(0, 300, size=4000)
    found = by_user(scores, labels, users)
    for user, value, rows in zip(found.users, found.aucs, found.rows, strict=True):
        mine = users == user
        assert value == auc(scores[mine], labels[mine]).value
        assert rows == mine.sum()
    assert len(found.users) + found.skipped_users == len(np.unique(users))


@pytest.mark.parametrize("codes", [np.array([0, -1]), np.array([0, 2**31])])
def test_user_codes_out_of_bounds_are_refused(codes):
    with pytest.raises(DataError, match=r"users run from .* they must lie in \[0, 2147483648\)\. Number them"):
        gauc(np.zeros(2), flags("01"), codes)


def test_user_codes_that_are_not_integers_are_refused():
    with pytest.raises(DataError, match=r"users are float64 of shape \(2,\): give one integer for each of 2 rows"):
        gauc(np.zeros(2), flags("01"), np.zeros(2))


def test_nan_scores_are_refused():
    with pytest.raises(DataError, match="2 of 2 scores are NaN"):
        gauc(np.full(2, np.nan), flags("01"), np.array([0, 0]))
