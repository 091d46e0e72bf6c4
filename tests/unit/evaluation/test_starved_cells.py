"""Cells with next to no events: nothing is said of them, whatever their few rows look like."""

import numpy as np
import pytest

from polyrec.evaluation.collected import Collected
from polyrec.evaluation.compare import FEW, compare
from polyrec.evaluation.measure import FEW_USERS
from polyrec.evaluation.tabulate import tabulate
from polyrec.metrics.interval import auc
from polyrec.schema import Target

CLICK, SCENARIOS = Target("click"), 30


def two_models(positives, negatives, random):
    """Scores of two models that know nothing, in 30 scenarios; a user a row."""
    labels = np.tile(np.arange(positives + negatives) < positives, SCENARIOS)
    scenario = np.repeat(np.arange(SCENARIOS, dtype=np.int32), positives + negatives)
    names = tuple(f"s{place}" for place in range(SCENARIOS))
    inside = {CLICK: np.ones(len(labels), bool)}

    def scored():
        logits = {CLICK: random.normal(size=len(labels)).astype(np.float32)}
        return Collected((CLICK,), names, scenario, np.arange(len(labels)), logits, {CLICK: labels}, inside)

    return scored(), scored()


@pytest.mark.parametrize(("positives", "negatives"), [(2, 3), (2, 20), (5, 40), (FEW - 1, 100), (30, 5)])
def test_cells_with_few_users_of_a_class_have_a_difference_and_no_verdict(positives, negatives):
    found = compare(*two_models(positives, negatives, np.random.default_rng(0)))
    for metric in ("auc", "log_loss"):
        for one in found.cells(metric):
            assert (one.low, one.p, one.verdict) == (None, None, "cannot be told")
            assert one.difference is not None
            assert f"only {min(positives, negatives)} users" in one.note


@pytest.mark.parametrize(("positives", "negatives"), [(FEW, 20), (FEW, 100)])
def test_from_few_users_on_false_verdicts_are_as_rare_as_they_say(positives, negatives):
    random = np.random.default_rng(1)
    false = [
        any(one.verdict != "cannot be told" for one in compare(*two_models(positives, negatives, random)).cells())
        for _ in range(60)
    ]
    assert sum(false) <= 7  # 3 expected of 60 at 5 %; more than 7 once in 90 times at that


def test_opposite_perfect_rankings_of_few_rows_are_no_certainty():
    labels, rows = np.array([True, True, False, False]), np.arange(4)
    one, two = (
        Collected(
            (CLICK,),
            ("s",),
            np.zeros(4, np.int32),
            rows,
            {CLICK: logits.astype(np.float32)},
            {CLICK: labels},
            {CLICK: np.ones(4, bool)},
        )
        for logits in (-rows, rows)
    )
    found = compare(one, two).get("s", CLICK)
    assert (found.difference, found.p, found.verdict) == (-1.0, None, "cannot be told")


def test_intervals_of_two_positives_hold_the_truth():
    random = np.random.default_rng(0)
    labels = np.arange(102) < 2
    held = 0
    for _ in range(300):
        found = auc(random.normal(size=102) + labels, labels)  # the true AUC of a shift by 1 is .760
        held += found.low <= 0.760 <= found.high
    assert held >= 0.93 * 300


def test_gauc_of_few_users_has_no_interval():
    random = np.random.default_rng(3)
    for users, told in ((FEW_USERS - 1, True), (FEW_USERS, False)):
        rows = 20 * users
        labels = np.arange(rows) % 4 == 0
        inside = {CLICK: np.ones(rows, bool)}
        logits = {CLICK: random.normal(size=rows).astype(np.float32)}
        scenario, user = np.zeros(rows, np.int32), np.arange(rows) // 20
        table = tabulate(Collected((CLICK,), ("s0",), scenario, user, logits, {CLICK: labels}, inside))
        (found,) = [one for one in table.rows if (one.scenario, one.metric) == ("s0", "gauc")]
        assert found.value is not None
        assert (found.low is None) is told
        assert (f"no interval: {users} users with both classes" in (found.note or "")) is told
