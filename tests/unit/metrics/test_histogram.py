import numpy as np
import pytest

from polyrec.errors import DataError
from polyrec.metrics import Histogram, auc, log_loss, ne, pcoc


def rows(seed, count):
    random = np.random.default_rng(seed)
    logits = random.normal(-3, 1.5, size=count).astype(np.float32)
    return logits, random.random(count) < 1 / (1 + np.exp(-logits))


def filled(logits, labels):
    found = Histogram()
    found.add(logits, labels)
    return found


def test_its_auc_is_within_its_own_bound_of_the_exact_one():
    logits, labels = rows(0, 50_000)
    found = filled(logits, labels)
    assert 0 < found.error < 1e-4
    assert abs(found.auc.value - auc(logits, labels).value) <= found.error


def test_the_bound_holds_where_many_logits_fall_into_the_outermost_bins():
    logits, labels = rows(1, 2000)
    found = filled(logits * 20, labels)
    assert abs(found.auc.value - auc(logits * 20, labels).value) <= found.error


def test_parts_add_up_to_the_whole():
    logits, labels = rows(2, 10_000)
    whole = filled(logits, labels)
    states = [filled(logits[part], labels[part]).state for part in np.array_split(np.arange(10_000), 3)]
    merged = Histogram.from_state(sum(states))
    assert (merged.counts == whole.counts).all()
    for metric in ("auc", "log_loss", "ne", "pcoc"):
        assert getattr(merged, metric).value == pytest.approx(getattr(whole, metric).value, rel=1e-12)


def test_sums_are_exact():
    logits, labels = rows(3, 10_000)
    found = filled(logits, labels)
    for name, exact in (("log_loss", log_loss), ("ne", ne), ("pcoc", pcoc)):
        assert getattr(found, name).value == pytest.approx(exact(logits, labels).value, rel=1e-6)


def test_infinite_logits_are_counted():
    found = filled(np.array([-np.inf, np.inf]), np.array([False, True]))
    assert found.rows == 2
    assert found.auc.value == 1.0


def test_an_empty_one_says_why_nothing_is_defined():
    found = Histogram()
    assert {getattr(found, name).note for name in ("auc", "log_loss", "ne", "pcoc")} == {"no rows"}
    found.add(np.zeros(2), np.zeros(2, dtype=bool))
    assert {getattr(found, name).note for name in ("auc", "ne", "pcoc")} == {"no positives"}


def test_a_state_of_another_length_is_refused():
    with pytest.raises(
        DataError, match=r"the state has shape \(3,\); a histogram's has \(131074,\)\. Pass its `state`"
    ):
        Histogram.from_state(np.zeros(3))


def test_rows_of_one_bin_tie():
    found = filled(np.array([1.0, 1.0 + 1e-6]), np.array([False, True]))
    assert (found.auc.value, found.error) == (0.5, 0.5)
