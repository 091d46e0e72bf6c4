import numpy as np
import pytest

from polyrec.errors import DataError
from polyrec.metrics import ece, pcoc, probabilities, reliability


def flags(text):
    return np.array([one == "1" for one in text], dtype=bool)


def logit(p):
    p = np.asarray(p, dtype=np.float64)
    return np.log(p) - np.log1p(-p)


def test_probabilities_do_not_overflow():
    found = probabilities(np.array([-np.inf, -1e4, -2.0, 0.0, 2.0, 1e4, np.inf]))
    assert found.tolist() == pytest.approx([0, 0, 0.1192029, 0.5, 0.8807971, 1, 1], abs=1e-7)


def test_each_bin_has_its_mean_prediction_and_its_observed_rate():
    logits = logit([0.1, 0.2, 0.6, 0.8])
    found = reliability(logits, flags("0101"), bins=2)
    assert found.predicted.tolist() == pytest.approx([0.15, 0.7])
    assert found.observed.tolist() == [0.5, 0.5]
    assert found.rows.tolist() == [2, 2]
    assert found.ece.value == pytest.approx((0.35 + 0.2) / 2)


def test_bins_hold_equally_many_rows_where_scores_differ():
    logits = np.random.default_rng(0).normal(-4, 2, size=1000)
    assert reliability(logits, np.arange(1000) % 3 == 0).rows.tolist() == [50] * 20


def test_rows_of_equal_scores_are_never_split():
    logits = np.repeat([-1.0, 0.0, 1.0], [10, 80, 10])
    found = reliability(logits, np.arange(100) % 2 == 0, bins=10)
    assert found.rows.tolist() == [10, 80, 10]
    assert reliability(np.zeros(7), flags("1000000"), bins=20).rows.tolist() == [7]


def test_ece_does_not_depend_on_the_order_of_tied_rows():
    labels = np.arange(100) < 30
    assert ece(np.zeros(100), labels).value == pytest.approx(0.2)
    assert ece(np.zeros(100), labels[::-1]).value == pytest.approx(0.2)


def test_ece_of_no_rows_is_undefined():
    assert ece(np.zeros(0), flags("")).note == "no rows"
    assert reliability(np.zeros(0), flags("")).rows.tolist() == []


def test_ece_of_one_row_is_its_error():
    assert ece(logit([0.3]), flags("1")).value == pytest.approx(0.7)


def test_pcoc_is_predicted_over_observed():
    assert pcoc(logit([0.5, 0.7, 0.3]), flags("100")).value == pytest.approx(1.5)


@pytest.mark.parametrize(("text", "why"), [("", "no rows"), ("00", "no positives")])
def test_pcoc_without_positives_is_undefined(text, why):
    assert pcoc(np.zeros(len(text)), flags(text)).note == why


def test_pcoc_of_only_positives_is_defined():
    assert pcoc(np.zeros(4), flags("1111")).value == 0.5


def test_nan_logits_are_refused():
    for metric in (ece, pcoc):
        with pytest.raises(DataError, match="1 of 1 scores are NaN"):
            metric(np.array([np.nan]), flags("1"))


def test_a_group_of_equal_scores_goes_to_the_bin_of_its_middle():
    logits = np.concatenate([np.linspace(-2, -1, 30), np.zeros(60), np.linspace(1, 2, 10)])
    assert reliability(logits, np.arange(100) % 2 == 0, bins=2).rows.tolist() == [30, 70]
