import math

import numpy as np
import pytest

from polyrec.errors import DataError
from polyrec.metrics import auc, log_loss, losses, ne
from polyrec.metrics.binary import entropy


def flags(text):
    return np.array([one == "1" for one in text], dtype=bool)


def test_every_pair_won_is_one_and_every_pair_lost_is_zero():
    scores = np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32)
    assert auc(scores, flags("0011")).value == 1.0
    assert auc(scores, flags("1100")).value == 0.0


def test_a_tie_across_labels_counts_one_half():
    assert auc(np.zeros(5), flags("10100")).value == 0.5
    # positives 1, 2; negatives 1, 0: pairs (1,1) tied, (1,0) won, (2,1) won, (2,0) won
    assert auc(np.array([1.0, 2.0, 1.0, 0.0]), flags("1100")).value == 3.5 / 4


def test_negative_zero_ties_with_zero():
    assert auc(np.array([-0.0, 0.0]), flags("10")).value == 0.5
    assert auc(np.array([0.0, -0.0]), flags("10")).value == 0.5


def test_infinite_scores_have_an_order():
    scores = np.array([-np.inf, np.inf, 0.0, np.inf])
    assert auc(scores, flags("0101")).value == 1.0
    assert auc(scores, flags("1001")).value == (0 + 0 + 0.5 + 1) / 4


@pytest.mark.parametrize(("text", "why"), [("", "no rows"), ("0", "no positives"), ("111", "no negatives")])
def test_auc_of_one_class_is_undefined_with_the_reason(text, why):
    found = auc(np.zeros(len(text)), flags(text))
    assert found.value is None
    assert found.note == why


def test_auc_does_not_depend_on_the_order_of_rows_nor_change_its_input():
    random = np.random.default_rng(0)
    scores, labels = random.normal(size=1000).round(1), random.random(1000) < 0.3
    before, order = scores.copy(), random.permutation(1000)
    assert auc(scores, labels).value == auc(scores[order], labels[order]).value
    assert (scores == before).all()


def test_nan_scores_are_refused_with_their_place():
    with pytest.raises(DataError, match=r"1 of 3 scores are NaN, the first in row 1: .*before measuring\."):
        auc(np.array([0.0, np.nan, 1.0]), flags("010"))


def test_unequal_lengths_are_refused():
    with pytest.raises(DataError, match=r"scores have shape \(3,\), labels \(2,\): give one"):
        auc(np.zeros(3), flags("01"))


def test_labels_that_are_not_bool_are_refused():
    with pytest.raises(DataError, match=r"labels are float64; they must be bool\. Convert"):
        auc(np.zeros(2), np.array([0.0, 1.0]))


def test_a_loss_is_minus_the_log_of_the_probability_given_to_what_happened():
    logits = np.array([-3.0, -0.5, 0.0, 2.0, 7.0])
    labels = flags("10110")
    p = 1 / (1 + np.exp(-logits))
    assert losses(logits, labels) == pytest.approx(-np.log(np.where(labels, p, 1 - p)), rel=1e-6)


def test_the_loss_of_a_tiny_probability_is_not_rounded_away():
    assert losses(np.array([-20.0]), flags("0"))[0] == pytest.approx(math.exp(-20), rel=1e-5)


def test_extreme_logits_give_finite_losses():
    assert losses(np.array([-1e30, 1e30, -1e30]), flags("011")).tolist() == pytest.approx([0.0, 0.0, 1e30])


def test_a_certain_right_answer_costs_nothing_and_a_certain_wrong_one_makes_it_undefined():
    assert log_loss(np.array([np.inf, -np.inf]), flags("10")).value == 0.0
    found = log_loss(np.array([np.inf, -np.inf, 0.0]), flags("010"))
    assert found.value is None
    assert found.note == "infinite: 2 rows were given probability 0 or 1 and were wrong"
    assert ne(np.array([np.inf, -np.inf, 0.0]), flags("010")).note == found.note


def test_predicting_the_observed_rate_has_normalised_entropy_one():
    labels = flags("1000")
    assert ne(np.full(4, math.log(1 / 3)), labels).value == pytest.approx(1.0, abs=1e-6)
    assert ne(np.full(4, 0.0), labels).value > 1


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "no rows"), ("00", "no positives: the observed rate has no entropy"),
     ("1", "no negatives: the observed rate has no entropy")],
)  # fmt: skip
def test_normalised_entropy_needs_both_classes(text, why):
    assert ne(np.zeros(len(text)), flags(text)).note == why


def test_log_loss_needs_a_row_and_no_more():
    assert log_loss(np.zeros(0), flags("")).note == "no rows"
    assert log_loss(np.zeros(1), flags("1")).value == pytest.approx(math.log(2))


def test_entropy_is_zero_where_the_outcome_is_certain():
    assert entropy(np.array([0.0, 0.5, 1.0])).tolist() == pytest.approx([0.0, math.log(2), 0.0])
