import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from polyrec.data.inspection.association import among_twins, auc, code, one_to_one, settled, strength


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=60))
def test_auc_equals_an_independent_one_with_ties(rows):
    scores, label = np.array(rows).T
    if 0 < label.sum() < len(label):
        assert auc(scores, label) == pytest.approx(roc_auc_score(label, scores))
    else:
        assert auc(scores, label) == 0.5


def test_a_column_is_as_strong_whichever_way_it_points():
    label = np.tile([0, 1, 0, 0], 500)
    assert strength(code(pl.Series(label)), label) == pytest.approx(1.0)
    assert strength(code(pl.Series(1 - label)), label) == pytest.approx(1.0)


def test_a_text_that_settles_the_label_is_as_strong_as_a_number():
    label = np.tile([0, 1, 0, 0], 500)
    words = pl.Series(np.where(label, "yes", "no"))
    assert strength(code(words), label) == pytest.approx(1.0)


def test_a_number_that_tells_by_its_middle_is_found_though_its_order_says_nothing():
    numbers = np.tile([-1.0, 0.0, 1.0, 0.0], 500)
    label = (numbers == 0).astype(int)
    assert auc(numbers, label) == 0.5
    assert strength(code(pl.Series(numbers)), label) == pytest.approx(1.0)


@pytest.mark.parametrize("rows_each", [1, 2, 5])
def test_an_id_of_few_rows_each_does_not_look_like_a_leak(rows_each):
    rng = np.random.default_rng(0)
    rows = 5000
    ids = pl.Series([f"u{i // rows_each}" for i in range(rows)])
    label = rng.integers(0, 2, rows)
    assert strength(code(ids), label) < 0.56


def test_null_is_a_value_of_its_own():
    column = code(pl.Series([None, "a", None]))
    assert column.codes.tolist() == [0, 1, 0]
    assert column.null == 0
    assert code(pl.Series(["a"])).null == -1


def test_a_key_settles_what_is_one_value_for_each_of_its_values():
    user = code(pl.Series([1, 1, 2, 2, 3, 3]))
    assert settled(user, code(pl.Series(["a", "a", "b", "b", "b", "b"]))) == 1.0
    # the commonest values of users 1, 2, 3 hold 1 + 2 + 2 of 6 rows, the commonest of all 4: (5/6 - 4/6) / (1 - 4/6)
    assert settled(user, code(pl.Series(["a", "b", "b", "b", "b", "b"]))) == pytest.approx(0.0)
    assert settled(user, code(pl.Series(["a", "c", "b", "b", "b", "b"]))) == pytest.approx(0.5)


def test_a_key_seen_once_each_settles_nothing_that_one_could_tell():
    assert np.isnan(settled(code(pl.Series([1, 2, 3])), code(pl.Series(["a", "b", "c"]))))


def test_columns_are_one_to_one_only_both_ways():
    left = code(pl.Series([1, 1, 2, 3]))
    assert one_to_one(left, code(pl.Series(["x", "x", "y", "z"])))
    assert not one_to_one(left, code(pl.Series(["x", "x", "y", "y"])))
    assert not one_to_one(left, code(pl.Series(["x", "y", "z", "z"])))


def _twins(values, label, group):
    columns = {"group": code(pl.Series(group)), "value": code(pl.Series(values))}
    return among_twins(columns, "value", np.asarray(label))


def test_a_value_that_tells_apart_rows_alike_otherwise_scores_one():
    group = np.repeat(np.arange(40), 2)
    twins = _twins(["home", "away"] * 40, [0, 1] * 40, group)
    assert (twins.auc, twins.groups, twins.rows) == (1.0, 40, 80)
    assert twins.error == 0.0


def test_a_value_that_tells_nothing_among_twins_scores_a_half():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(2000), 2)
    twins = _twins(np.tile(["home", "away"], 2000), rng.permuted(np.tile([0, 1], (2000, 1)), axis=1).ravel(), group)
    assert abs(twins.auc - 0.5) < 3 * twins.error + 0.02


def test_twins_are_judged_by_other_groups_only():
    # every group has values of its own: what happened elsewhere says nothing about them
    group = np.repeat(np.arange(50), 2)
    twins = _twins([f"v{i}" for i in range(100)], [0, 1] * 50, group)
    assert twins.auc == 0.5


def test_the_auc_among_twins_is_the_weighted_mean_of_its_groups():
    # 20 groups of one pair that "a" wins; two groups of 2 + 2 rows where it loses two of three pairs that differ
    values, label, group = ["a", "b"] * 20, [1, 0] * 20, list(np.repeat(np.arange(20), 2))
    values += ["a", "a", "b", "b"] * 2
    label += [0, 1, 0, 1] * 2
    group += [20] * 4 + [21] * 4
    twins = _twins(values, label, group)
    # pairs (positive, negative) of a mixed group: (a,a) .5, (a,b) 1, (b,a) 0, (b,b) .5 = 2 of 4; weight 2*2/4 = 1
    # a plain group: 1 of 1; weight 1*1/2
    assert twins.auc == pytest.approx((20 * 0.5 * 1.0 + 2 * 1.0 * 0.5) / (20 * 0.5 + 2 * 1.0))


def test_without_groups_that_differ_there_is_nothing_to_say():
    assert _twins(["a", "a"], [0, 1], [0, 0]) is None
    assert _twins(["a", "b"], [1, 1], [0, 0]) is None
