"""More rows than a block: the same numbers as plain formulas over whole columns, in little memory."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from polyrec.batch import NO_USER
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.report import Report
from polyrec.metrics import interval
from polyrec.metrics.grouped import by_user
from polyrec.metrics.ranked import BLOCK
from polyrec.schema import Target

CLICK, BUY, GIVEN = Target("click"), Target("buy"), Target("buy", "click")
ROWS = 2 * BLOCK + 12_345


def large(users, count=ROWS):
    draw = np.random.default_rng(0)
    z = np.round(draw.normal(-1, 1.2, count), 4).astype(np.float32)  # many ties
    click = draw.random(count) < 1 / (1 + np.exp(-z))
    buy = click & (draw.random(count) < 0.2)
    return Collected(
        (CLICK, BUY, GIVEN),
        ("home", "feed"),
        (draw.random(count) < 0.1).astype(np.int32),
        draw.integers(0, users, count),
        {CLICK: z, BUY: z - 2, GIVEN: z - 1},
        {CLICK: click, BUY: buy, GIVEN: buy},
        {CLICK: np.ones(count, bool), BUY: np.ones(count, bool), GIVEN: click},
    )


def test_a_report_over_several_blocks_has_the_numbers_of_the_plain_formulas():
    rows = large(users=3_000)
    report = Report.build(rows, recipe="x", split="test")
    for name, target, at in (
        ("*", CLICK, slice(None)),
        ("home", BUY, rows.scenario == 0),
        ("*", GIVEN, rows.inside[GIVEN]),
    ):
        z, y = rows.logits[target][at].astype(np.float64), rows.labels[target][at]
        p = 1 / (1 + np.exp(-z))
        assert report.get(name, target, "auc").value == pytest.approx(roc_auc_score(y, z), rel=1e-12)
        assert report.get(name, target, "log_loss").value == pytest.approx(log_loss(y, p), rel=1e-6)
        assert report.get(name, target, "pcoc").value == pytest.approx(p.sum() / y.sum(), rel=1e-6)
        plain = interval.auc(z, y, rows.user[at])  # each user a cluster
        assert report.get(name, target, "auc").low == pytest.approx(plain.low, abs=1e-12)


def test_users_and_ties_that_reach_over_blocks_are_counted_once():
    draw = np.random.default_rng(1)
    user = np.minimum(draw.geometric(0.3, ROWS) - 1, 5)
    scores, labels = np.round(draw.normal(0, 1, ROWS), 1), draw.random(ROWS) < 0.3
    found = by_user(scores, labels, user)
    assert found.users.tolist() == list(range(6))
    for one, auc in zip(found.users, found.aucs, strict=True):
        assert auc == pytest.approx(
            roc_auc_score(labels[user == one], scores[user == one].astype(np.float32)), rel=1e-12
        )
    assert found.rows.tolist() == np.bincount(user).tolist()


def peak_of_report(count):
    rows = large(users=5_000, count=count)
    rows.user[:1_000] = NO_USER
    tracemalloc.start()
    Report.build(rows, recipe="x", split="test")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_further_row_costs_a_report_less_than_30_bytes_beside_itself():
    peak_of_report(1_000)  # what is made once
    few, many = 2 * BLOCK, 5 * BLOCK
    a_row = (peak_of_report(many) - peak_of_report(few)) / (many - few)
    assert a_row < 30, f"{a_row:.1f} bytes a row"
