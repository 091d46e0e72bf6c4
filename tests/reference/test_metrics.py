"""Metrics against scikit-learn and against their definitions written out pair by pair."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from polyrec.metrics import auc, ece, gauc, interval, log_loss, ne, pcoc

floats = st.one_of(
    st.floats(width=32, allow_nan=False), st.sampled_from([0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf")])
)
rows = st.lists(st.tuples(floats, st.booleans()), min_size=2, max_size=60).filter(
    lambda found: len({label for _, label in found}) == 2
)


def columns(found):
    return np.array([one for one, _ in found], dtype=np.float32), np.array([one for _, one in found], dtype=bool)


def ranks(scores):
    """Scores replaced by their place, since scikit-learn refuses infinities."""
    return np.unique(scores + np.float32(0), return_inverse=True)[1]


def kernel(scores, labels):
    """Won, tied or lost: one number for each pair of a positive and a negative."""
    positive, negative = scores[labels][:, None], scores[~labels][None, :]
    return (positive > negative) + 0.5 * (positive == negative)


@given(rows)
def test_auc_equals_scikit_learn(found):
    scores, labels = columns(found)
    assert auc(scores, labels).value == pytest.approx(sk.roc_auc_score(labels, ranks(scores)), abs=1e-12)
    assert interval.auc(scores, labels).value == pytest.approx(auc(scores, labels).value, abs=1e-12)


@given(st.lists(st.tuples(st.floats(-15, 15, width=32), st.booleans()), min_size=1, max_size=60))
def test_log_loss_equals_scikit_learn(found):
    logits, labels = columns(found)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert log_loss(logits, labels).value == pytest.approx(sk.log_loss(labels, p, labels=[False, True]), rel=1e-4)


@settings(max_examples=50)
@given(rows)
def test_delong_variance_equals_its_definition_over_all_pairs(found):
    scores, labels = columns(found)
    pairs = kernel(scores.astype(np.float64), labels)
    m, n = pairs.shape
    mine = interval.auc_influence(interval.rank(scores, labels, np.arange(len(labels))), len(labels))
    if m < 2 or n < 2:
        assert mine.note
        return
    expected = pairs.mean(axis=1).var(ddof=1) / m + pairs.mean(axis=0).var(ddof=1) / n
    assert mine.variance == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_clustered_variance_equals_obuchowskis_formula():
    random = np.random.default_rng(0)
    users = np.repeat(np.arange(40), random.integers(1, 8, size=40))
    level = random.normal(size=40)[users]
    scores = (level + random.normal(size=len(users))).round(1)
    labels = random.random(len(users)) < 1 / (1 + np.exp(-level))
    pairs = kernel(scores, labels)
    value, (m, n) = pairs.mean(), pairs.shape
    of_positive, of_negative = pairs.mean(axis=1), pairs.mean(axis=0)
    ones = [(of_positive[users[labels] == user] - value).sum() for user in range(40)]
    zeros = [(of_negative[users[~labels] == user] - value).sum() for user in range(40)]
    i1, i0 = len(set(users[labels])), len(set(users[~labels]))
    s1 = i1 / ((i1 - 1) * m) * np.square(ones).sum()
    s0 = i0 / ((i0 - 1) * n) * np.square(zeros).sum()
    s10 = 40 / 39 * np.dot(ones, zeros)
    expected = s1 / m + s0 / n + 2 * s10 / (m * n)
    mine = interval.auc_influence(interval.rank(scores, labels, users), 40)
    assert mine.variance == pytest.approx(expected, rel=0.01)  # the cross term's factor differs a little
    assert abs(s10) / (m * n) > 0.05 * expected  # so that the cross term matters here


def test_clustered_variance_is_that_of_a_bootstrap_over_users():
    random = np.random.default_rng(1)
    users = np.repeat(np.arange(300), 5)
    level = random.normal(size=300)[users]
    labels = random.random(1500) < 1 / (1 + np.exp(1 - level))
    scores = level + random.normal(size=1500) + 2 * random.normal(size=300)[users]
    by_user = np.arange(1500).reshape(300, 5)
    drawn = []
    for _ in range(600):
        at = by_user[random.integers(0, 300, size=300)].ravel()
        drawn.append(auc(scores[at], labels[at]).value)
    clustered = interval.auc_influence(interval.rank(scores, labels, users), 300)
    plain = interval.auc_influence(interval.rank(scores, labels, np.arange(1500)), 1500)
    assert np.sqrt(clustered.variance) == pytest.approx(np.std(drawn), rel=0.1)
    assert np.sqrt(plain.variance) < 0.88 * np.std(drawn)


def test_hand_computed_numbers():
    logits = np.log(np.array([0.2, 0.4, 0.6, 0.8]) / np.array([0.8, 0.6, 0.4, 0.2]))
    labels = np.array([False, True, False, True])
    assert auc(logits, labels).value == 0.75
    # -(ln .8 + ln .4 + ln .4 + ln .8) / 4
    assert log_loss(logits, labels).value == pytest.approx(0.5697171, abs=1e-6)
    assert ne(logits, labels).value == pytest.approx(0.5697171 / 0.6931472, abs=1e-6)
    assert pcoc(logits, labels).value == pytest.approx(1.0)
    # two bins: predicted .3 and .7, observed .5 and .5
    assert ece(logits, labels, bins=2).value == pytest.approx(0.2)
    # user 0: rows 1 and 4 (won), user 1: rows 2 (positive, .4) and 3 (negative, .6) (lost)
    assert gauc(logits, labels, np.array([0, 1, 1, 0])).value == 0.5


def test_gauc_equals_scikit_learn_user_by_user():
    random = np.random.default_rng(2)
    users, scores = random.integers(0, 200, size=3000), random.normal(size=3000).round(1).astype(np.float32)
    labels = random.random(3000) < 0.2
    total = weight = 0.0
    for user in range(200):
        mine = users == user
        if len(set(labels[mine])) == 2:
            total += mine.sum() * sk.roc_auc_score(labels[mine], scores[mine])
            weight += mine.sum()
    assert gauc(scores, labels, users).value == pytest.approx(total / weight, abs=1e-12)


@pytest.mark.slow
def test_auc_of_ten_million_rows_takes_seconds(capsys):
    random = np.random.default_rng(0)
    scores = random.standard_normal(10_000_000, dtype=np.float32)
    labels = random.random(10_000_000, dtype=np.float32) < 0.1
    started = time.perf_counter()
    found = auc(scores, labels).value
    seconds = time.perf_counter() - started
    with capsys.disabled():
        print(f"\nAUC of 10,000,000 rows: {seconds:.2f} s")
    assert found == pytest.approx(0.5, abs=2e-3)
    assert seconds < 20  # about 1 s on an idle machine
