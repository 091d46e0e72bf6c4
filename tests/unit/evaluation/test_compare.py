from dataclasses import replace

import numpy as np
import pytest

from polyrec.errors import DataError
from polyrec.evaluation.compare import compare
from polyrec.evaluation.difference import holm
from polyrec.evaluation.report import Report
from polyrec.metrics import auc
from polyrec.schema import Target

CLICK = Target("click")


def test_a_planted_loss_is_found_in_its_scenario_and_nowhere_else(world, noisy):
    rows = world(6000)
    found = compare(rows, noisy(rows, 1.5, only=1))
    verdicts = {(one.scenario, one.task, one.space): one.verdict for one in found.cells("auc")}
    for (scenario, _, _), verdict in verdicts.items():
        assert verdict == ("lost" if scenario == "s1" else "cannot be told")
    turned = compare(noisy(rows, 1.5, only=1), rows)
    assert {one.scenario for one in turned.cells("auc", "gained")} == {"s1"}
    assert {one.scenario for one in turned.cells("log_loss", "gained")} == {"s1"}
    assert turned.get("s1", CLICK, "log_loss").difference < 0


def test_differences_are_those_of_the_reports(world, noisy):
    rows = world()
    worse = noisy(rows, 1.0)
    found = compare(rows, worse)
    one, two = (Report.build(each, recipe="r", split="test") for each in (rows, worse))
    for row in found.differences:
        target = Target(row.task, row.space)
        before, after = (each.get(row.scenario, target, row.metric) for each in (one, two))
        assert row.baseline == pytest.approx(before.value, rel=1e-6)
        assert row.other == pytest.approx(after.value, rel=1e-6)
        assert row.difference == pytest.approx(after.value - before.value, abs=1e-6)
        assert row.low <= row.difference <= row.high
        assert (row.n, row.positives) == (before.n, before.positives)


def test_a_model_compared_with_itself_cannot_be_told_from_itself(world):
    rows = world()
    for one in compare(rows, rows).differences:
        assert (one.difference, one.low, one.high, one.p, one.verdict) == (0, 0, 0, 1, "cannot be told")


def test_pairing_makes_intervals_narrower_than_those_of_the_two_values(world, noisy):
    rows = world()
    row = compare(rows, noisy(rows, 0.3)).get("*", CLICK)
    single = Report.build(rows, recipe="r", split="test").get("*", CLICK)
    assert row.high - row.low < 0.5 * (single.high - single.low)


def test_the_paired_spread_is_that_of_a_bootstrap_over_users(world, noisy):
    rows = world(2000, users=200, scenarios=1)
    worse = noisy(rows, 1.0)
    row = compare(rows, worse).get("*", CLICK)
    users, codes = np.unique(rows.user, return_inverse=True)
    of_user = [np.flatnonzero(codes == user) for user in range(len(users))]
    random, drawn = np.random.default_rng(0), []
    for _ in range(400):
        at = np.concatenate([of_user[user] for user in random.integers(0, len(users), size=len(users))])
        labels = rows.labels[CLICK][at]
        drawn.append(auc(worse.logits[CLICK][at], labels).value - auc(rows.logits[CLICK][at], labels).value)
    assert (row.high - row.low) / (2 * 1.97) == pytest.approx(np.std(drawn), rel=0.12)


def test_equal_models_are_rarely_told_apart_and_intervals_hold_zero(world, noisy):
    told = held = cells = 0
    for seed in range(120):
        rows = world(900, users=150, seed=seed)
        found = compare(noisy(rows, 1.0, seed=2 * seed), noisy(rows, 1.0, seed=2 * seed + 1))
        told += any(one.verdict != "cannot be told" for one in found.cells("auc"))
        held += sum(one.low <= 0 <= one.high for one in found.cells("auc"))
        cells += len(found.cells("auc"))
    assert told <= 13  # 6 expected of 120 at the bar of 0.05; more than 13 once in 500 times
    assert 0.92 < held / cells < 0.98


def test_equal_recipes_with_several_seeds_are_rarely_told_apart(world, noisy):
    told = 0
    for seed in range(60):
        rows = world(900, users=150, seed=seed)
        runs = [noisy(rows, 1.0, seed=10 * seed + place) for place in range(6)]
        told += any(one.verdict != "cannot be told" for one in compare(runs[:3], runs[3:]).cells("auc"))
    assert told <= 8


def test_the_spread_between_runs_widens_the_interval(world, noisy):
    rows = world(20_000)
    runs = [noisy(rows, spread, seed=place) for place, spread in enumerate((0.0, 0.6, 1.2))]
    alone = compare(rows, runs[1]).get("*", CLICK)
    together = compare([rows], runs).get("*", CLICK)
    assert together.other == pytest.approx(np.mean([auc(one.logits[CLICK], rows.labels[CLICK]).value for one in runs]))
    assert together.high - together.low > 5 * (alone.high - alone.low)
    assert alone.verdict == "lost"
    assert together.verdict == "cannot be told"


def test_undefined_cells_say_why(world, noisy):
    rows = world()
    labels = {target: one & (rows.scenario != 0) for target, one in rows.labels.items()}
    rows = replace(rows, labels=labels)
    found = compare(rows, noisy(rows, 1.0))
    row = found.get("s0", CLICK)
    assert (row.verdict, row.difference, row.note) == ("undefined", None, "no positives")
    assert found.get("macro", CLICK).verdict == "lost"
    assert found.get("s0", CLICK, "log_loss").difference is not None


def test_one_positive_cannot_tell_anything(world, noisy):
    rows = world(500)
    labels = {target: np.zeros(500, dtype=bool) for target in rows.targets}
    labels[CLICK][int(np.flatnonzero(rows.scenario == 0)[0])] = True
    row = compare(replace(rows, labels=labels), noisy(replace(rows, labels=labels), 3.0)).get("s0", CLICK)
    assert (row.verdict, row.low) == ("cannot be told", None)
    assert row.note == "no interval: all positives are one user's or one row"


def test_an_infinite_loss_is_undefined(world):
    rows = world(500)
    certain = {**rows.logits, CLICK: np.where(rows.labels[CLICK], -np.inf, 0).astype(np.float32)}
    row = compare(rows, replace(rows, logits=certain)).get("*", CLICK, "log_loss")
    assert (row.verdict, row.note) == ("undefined", "infinite: probability 0 or 1, and wrong")


def test_no_rows_are_undefined_everywhere(world):
    assert {one.verdict for one in compare(world(0), world(0)).differences} == {"undefined"}


def test_different_rows_are_refused(world, noisy):
    rows = world(300)
    with pytest.raises(DataError, match=r"runs 1 and 2 were tried on different rows: 300 and 299 rows\. Only equal"):
        compare(rows, world(299))
    with pytest.raises(DataError, match=r"runs 2 and 3 .*: 300 rows each, but with other scenarios, users or labels"):
        compare([rows, noisy(rows, 1.0)], world(300, seed=5))
    fewer = replace(rows, targets=rows.targets[:1])
    with pytest.raises(DataError, match="targets click, buy, buy_given_click and click"):
        compare(rows, fewer)


def test_nan_and_no_runs_are_refused(world):
    rows = world(300)
    with pytest.raises(DataError, match="'other' has 0 runs: nothing to compare"):
        compare(rows, [])
    bad = {target: np.full(300, np.nan, dtype=np.float32) for target in rows.targets}
    with pytest.raises(DataError, match="300 of 300 logits are NaN"):
        compare(rows, replace(rows, logits=bad))


def test_holm_multiplies_the_smallest_by_their_number_and_never_falls():
    assert holm([0.01, 0.02, 0.9]) == pytest.approx([0.03, 0.04, 0.9])
    assert holm([0.5, 0.5]) == [1.0, 1.0]
    assert holm([]) == []
