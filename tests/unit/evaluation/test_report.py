import json
import time
from dataclasses import replace

import numpy as np
import pytest

from polyrec.batch import NO_USER
from polyrec.errors import DataError
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.report import Report, Row
from polyrec.metrics import auc, ece, gauc, log_loss, ne, pcoc, reliability
from polyrec.schema import Target

METRICS = ("auc", "gauc", "log_loss", "ne", "ece", "pcoc")
CLICK, BUY, BUY_GIVEN_CLICK = Target("click"), Target("buy"), Target("buy", "click")


def build(rows, **options):
    return Report.build(rows, recipe="mmoe", split="test", **options)


@pytest.fixture(scope="module")
def rows(world):
    return world()


@pytest.fixture(scope="module")
def report(rows):
    return build(rows, run={"seconds": 1.5, "seed": 0})


def test_every_cell_has_every_metric_with_an_interval_around_it(report):
    assert [row.metric for row in report.rows[:6]] == list(METRICS)
    assert report.scenarios == ("s0", "s1", "s2", "*", "macro")
    assert report.targets == (CLICK, BUY, BUY_GIVEN_CLICK)
    assert len(report.rows) == 5 * 3 * 6
    for row in report.rows:
        assert row.low <= row.value <= row.high, row


@pytest.mark.parametrize("scenario", ["s0", "s2", "*"])
@pytest.mark.parametrize("target", [CLICK, BUY, BUY_GIVEN_CLICK])
def test_each_value_is_the_metric_of_the_cells_rows(rows, report, scenario, target):
    mine = rows.inside[target].copy()
    if scenario != "*":
        mine &= rows.scenario == rows.scenarios.index(scenario)
    logits, labels = rows.logits[target][mine], rows.labels[target][mine]
    users = np.unique(rows.user[mine], return_inverse=True)[1]
    expected = {"auc": auc(logits, labels), "gauc": gauc(logits, labels, users), "log_loss": log_loss(logits, labels),
                "ne": ne(logits, labels), "ece": ece(logits, labels), "pcoc": pcoc(logits, labels)}  # fmt: skip
    for metric, one in expected.items():
        row = report.get(scenario, target, metric)
        assert row.value == pytest.approx(one.value, rel=1e-6)
        assert (row.n, row.positives) == (mine.sum(), labels.sum())
    assert report.get(scenario, target, "gauc").note.startswith("skipped ")


def test_conversion_in_click_space_and_over_all_rows_are_two_cells(rows, report):
    over_all, given = report.get("*", BUY), report.get("*", BUY_GIVEN_CLICK)
    assert (over_all.space, given.space) == ("all", "click")
    assert over_all.n == len(rows)
    assert given.n == over_all.n - (~rows.labels[CLICK]).sum()
    assert over_all.positives == given.positives
    assert over_all.value != given.value


def test_macro_is_the_mean_over_scenarios(report):
    for metric in METRICS:
        values = [report.get(f"s{place}", CLICK, metric).value for place in range(3)]
        row = report.get("macro", CLICK, metric)
        assert row.value == pytest.approx(np.mean(values))
        assert row.note == "mean of 3 scenarios"
        assert row.n == report.get("*", CLICK, metric).n


def test_macro_leaves_out_undefined_cells_and_says_so(rows):
    labels = {target: one & (rows.scenario != 1) for target, one in rows.labels.items()}
    found = build(replace(rows, labels=labels))
    assert found.get("s1", CLICK).value is None
    assert found.get("s1", CLICK).note == "no positives"
    assert found.get("macro", CLICK).note == "mean of 2 of 3 scenarios; undefined in s1"
    values = [found.get(name, CLICK).value for name in ("s0", "s2")]
    assert found.get("macro", CLICK).value == pytest.approx(np.mean(values))
    assert found.get("s1", CLICK, "log_loss").value is not None


def test_a_scenario_without_rows_is_undefined_everywhere(rows):
    found = build(replace(rows, scenarios=(*rows.scenarios, "empty")))
    for metric in METRICS:
        row = found.get("empty", CLICK, metric)
        assert (row.value, row.n, row.note) == (None, 0, "no rows")


def test_no_rows_at_all_give_a_report_of_reasons(world):
    found = build(world(0))
    assert all(row.value is None and row.note for row in found.rows)
    assert "undefined in every scenario" in {row.note for row in found.rows}
    json.loads(found.to_json())


def test_one_row_gives_what_one_row_can(world):
    found = build(world(1, scenarios=1))
    assert found.get("s0", CLICK).value is None
    assert found.get("s0", CLICK, "log_loss").value > 0
    assert found.get("s0", CLICK, "log_loss").low is None
    json.loads(found.to_json())


def test_all_positive_labels_are_undefined_where_they_must_be(rows):
    everything = {target: np.ones(len(rows), dtype=bool) for target in rows.targets}
    found = build(replace(rows, labels=everything))
    notes = {metric: found.get("s0", CLICK, metric).note for metric in METRICS}
    assert notes["auc"] == "no negatives"
    assert notes["ne"] == "no negatives: the observed rate has no entropy"
    assert "their labels are all equal" in notes["gauc"]
    for metric in ("log_loss", "ece", "pcoc"):
        row = found.get("s0", CLICK, metric)
        assert row.low <= row.value <= row.high


def test_rows_of_undeclared_scenarios_count_in_the_pooled_rows_only(rows):
    scenario = rows.scenario.copy()
    scenario[:100] = -1
    found = build(replace(rows, scenario=scenario))
    assert found.get("*", CLICK).n == len(rows)
    assert found.get("*", CLICK).note == "includes 100 rows of scenarios that the model does not know"
    assert found.get("macro", CLICK).n == len(rows) - 100


def test_without_users_gauc_is_undefined_and_rows_are_resampled(rows):
    found = build(replace(rows, user=np.zeros(len(rows), dtype=np.int64)))
    assert found.get("*", CLICK, "gauc").note == "rows have no user, or all the same one"
    assert found.intervals["users"] is None
    assert "rows" in found.intervals["others"]
    assert found.get("*", CLICK).low is not None


def test_rows_of_nobody_known_take_no_part_in_gauc(rows):
    user = rows.user.copy()
    user[:50] = NO_USER
    found = build(replace(rows, user=user)).get("*", CLICK, "gauc")
    known = user != NO_USER
    codes = np.unique(user[known], return_inverse=True)[1]
    assert found.value == gauc(rows.logits[CLICK][known], rows.labels[CLICK][known], codes).value
    assert found.note.endswith("; 50 rows have no user")


def test_infinite_loss_is_undefined_with_its_reason_and_the_rest_stands(rows):
    logits = dict(rows.logits)
    logits[CLICK] = np.where(rows.labels[CLICK] & (rows.scenario == 0), -np.inf, logits[CLICK]).astype(np.float32)
    found = build(replace(rows, logits=logits))
    assert found.get("s0", CLICK, "log_loss").value is None
    assert found.get("s0", CLICK, "log_loss").note.startswith("infinite: ")
    assert found.get("s0", CLICK, "ne").note == found.get("s0", CLICK, "log_loss").note
    assert found.get("s0", CLICK).value == 0.0
    assert found.get("s1", CLICK, "log_loss").low is not None
    json.loads(found.to_json())


def test_nan_logits_are_refused_with_the_target(rows):
    logits = dict(rows.logits)
    logits[BUY] = logits[BUY].copy()
    logits[BUY][:2] = np.nan
    with pytest.raises(DataError, match=r"target 'buy': 2 of 3,000 logits are NaN\. The model diverged"):
        build(replace(rows, logits=logits))


def test_nan_outside_the_space_harms_nothing(rows):
    logits = dict(rows.logits)
    logits[BUY_GIVEN_CLICK] = np.where(rows.inside[BUY_GIVEN_CLICK], logits[BUY_GIVEN_CLICK], np.nan)
    expected = build(rows).get("*", BUY_GIVEN_CLICK)
    assert build(replace(rows, logits=logits)).get("*", BUY_GIVEN_CLICK) == expected


def test_intervals_hold_the_truth_as_often_as_they_say(world):
    large = build(world(400_000, users=40_000, seed=99))
    held = dict.fromkeys(METRICS, 0)
    for seed in range(150):
        found = build(world(1500, users=150, seed=seed))
        for metric in METRICS:
            row = found.get("*", CLICK, metric)
            held[metric] += row.low <= large.get("*", CLICK, metric).value <= row.high
    assert {metric: count / 150 for metric, count in held.items() if not 0.88 <= count / 150 <= 1.0} == {}
    assert held["auc"] < 150
    assert held["log_loss"] < 150


def test_a_calibrated_models_ece_interval_reaches_zero_and_a_wrong_ones_does_not(rows, report):
    assert report.get("*", CLICK, "ece").low == 0.0
    wrong = replace(rows, logits={target: one + np.float32(1) for target, one in rows.logits.items()})
    row = build(wrong).get("*", CLICK, "ece")
    assert row.low > 0.1
    assert build(wrong).get("*", CLICK, "pcoc").low > 1.2


def test_the_same_rows_give_the_same_report(rows, report):
    assert build(rows).rows == report.rows


def test_reliability_curves_are_kept_for_every_cell(rows, report):
    assert len(report.reliability) == 4 * 3
    found = next(one for one in report.reliability if (one["scenario"], one["task"]) == ("*", "click"))
    expected = reliability(rows.logits[CLICK], rows.labels[CLICK])
    assert [one["n"] for one in found["bins"]] == expected.rows.tolist()
    assert [one["predicted"] for one in found["bins"]] == pytest.approx(expected.predicted.tolist())
    assert [one["observed"] for one in found["bins"]] == pytest.approx(expected.observed.tolist())


def test_json_has_the_promised_keys_and_reads_back_equal(report, tmp_path):
    values = json.loads(report.to_json())
    assert (values["version"], values["recipe"], values["split"]) == (1, "mmoe", "test")
    assert list(values["cells"][0]) == [
        "scenario", "task", "space", "metric", "value", "low", "high", "n", "positives", "note"
    ]  # fmt: skip
    assert values["run"] == {"seconds": 1.5, "seed": 0}
    assert Report.from_json(report.to_json()) == report
    assert Report.load(report.save(tmp_path / "report.json")) == report


def test_extra_keys_travel_along_but_may_not_replace_the_reports_own(rows):
    found = build(rows, extra={"schema": "abc", "data": {"rows": 3}})
    assert json.loads(found.to_json())["data"] == {"rows": 3}
    assert Report.from_json(found.to_json()).extra == {"schema": "abc", "data": {"rows": 3}}
    with pytest.raises(DataError, match="extra key 'cells' is the report's own"):
        build(rows, extra={"cells": []})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the report is not JSON"),
        ("[]", "the report holds a list, not a report"),
        ('{"version": 2}', "has version 2; this polyrec reads version 1"),
        ('{"version": 1, "recipe": "a", "split": "test", "run": {}}', "has no proper 'cells': None"),
        ('{"version": 1, "recipe": "a", "split": "test", "run": {}, "cells": [3]}', r"cells\[0\] is 3, not a table"),
        ('{"version": 1, "recipe": "a", "split": "test", "run": {}, "cells": [{"valeu": 1}]}',
         "option 'valeu' is not known"),
    ],
)  # fmt: skip
def test_a_damaged_report_is_refused_with_what_is_wrong(text, message):
    with pytest.raises(DataError, match=message):
        Report.from_json(text)


def test_a_missing_report_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.json cannot be read: .* Name the report\.json of a finished run"):
        Report.load(tmp_path / "none.json")


def test_the_table_shows_each_scenario_and_target(report):
    lines = report.table().splitlines()
    assert lines[0].split() == ["auc", "click", "buy", "buy_given_click"]
    assert [line.split("  ")[0] for line in lines[2:7]] == ["s0", "s1", "s2", "mean of scenarios", "all rows pooled"]
    row = report.get("s0", CLICK)
    assert f"{row.value:.4f} ({row.low:.4f} to {row.high:.4f})" in lines[2]
    assert f"{report.get('*', CLICK, 'pcoc').value:.3f}" in report.table()


def test_the_table_counts_scenarios_that_it_does_not_show_and_gives_reasons(report):
    assert "... 2 more" in report.table(most=1)
    lone = Report("mmoe", "test", (Row("home", "click", "all", "auc", None, note="no positives"),))
    assert "- (no positives)" in lone.table()


@pytest.mark.slow
def test_a_report_of_six_hundred_thousand_rows_takes_seconds(world, capsys):
    rows = world(600_000, users=100_000)
    started = time.perf_counter()
    build(rows)
    seconds = time.perf_counter() - started
    with capsys.disabled():
        print(f"\nreport of 600,000 rows x 3 scenarios x 3 targets: {seconds:.2f} s")
    assert seconds < 20  # about 1 s on an idle machine


def test_three_hundred_small_scenarios_have_a_report_without_intervals_where_none_can_be_drawn():
    rng = np.random.default_rng(0)
    rows, names = 3_000, tuple(f"s{place}" for place in range(300))
    target = Target("click")
    labels = rng.random(rows) < 0.4
    many = Collected(
        targets=(target,),
        scenarios=names,
        scenario=np.minimum(rng.zipf(1.3, rows), 300).astype(np.int32) - 1,  # many of two or three rows
        user=np.arange(rows),
        logits={target: rng.normal(size=rows).astype(np.float32)},
        labels={target: labels},
        inside={target: np.ones(rows, bool)},
    )
    report = Report.build(many, recipe="star", split="test")
    row = report.get("macro", target, "ece")
    assert row is not None
    assert row.value is not None
    assert row.low is None
    assert "no interval" in str(row.note)


def test_the_table_begins_with_what_retrieval_found(report):
    found = [
        Row(name, "buy", "all", metric, value, n=3, positives=4)
        for name, value in (("s0", 0.25), ("s1", 0.5), ("macro", 0.375))
        for metric in ("recall@20", "ndcg@20")
    ]
    text = replace(report, rows=(*report.rows, *found)).table()
    first, *others = text.split("\n\n")
    assert others == report.table().split("\n\n")
    assert first.splitlines()[0].split() == ["buy,", "retrieved", "recall@20", "ndcg@20"]
    assert [line.split()[-1] for line in first.splitlines()[2:]] == ["0.2500", "0.5000", "0.3750"]
    assert "... 1 more" in replace(report, rows=(*report.rows, *found)).table(most=1).split("\n\n")[0]
