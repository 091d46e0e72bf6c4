"""Each finding fires on a table made to hold it, and stays silent on one that does not."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from polyrec.data.inspection import inspect
from polyrec.data.inspection.findings import share
from polyrec.schema import Feature, Keys, Schema, Task

ROWS = 8000


def log(rows=ROWS, seed=0, rate=0.3):
    """A plain log with nothing wrong with it: the label leans on the user, the item and a number."""
    rng = np.random.default_rng(seed)
    user, item, x = rng.integers(0, 100, rows), rng.integers(0, 60, rows), rng.normal(size=rows)
    taste = rng.normal(size=100)[user] + rng.normal(size=60)[item] + x
    click = (taste + rng.logistic(size=rows) > np.quantile(taste, 1 - rate)).astype(np.int8)
    buy = (click & (rng.random(rows) < 0.4)).astype(np.int8)
    return pl.DataFrame({
        "user_id": user, "item_id": item, "x": x,
        "tab": np.array(["home", "feed"])[rng.integers(0, 2, rows)],
        "colour": np.array(["red", "green", "blue"])[rng.integers(0, 3, rows)],
        "time": [datetime(2024, 1, 1) + timedelta(minutes=i) for i in range(rows)],
        "click": click, "buy": buy,
    })  # fmt: skip


@pytest.fixture
def look(tmp_path):
    def look_at(frame, schema=None, **options):
        path = tmp_path / "log.parquet"
        frame.write_parquet(path)
        return inspect([path], schema, **options)

    return look_at


def with_first(frame, **columns):
    """The frame with columns put before the labels."""
    return frame.with_columns(**columns).select(*columns, *(name for name in frame.columns if name not in columns))


def told(found, kind):
    return [finding for finding in found.findings if finding.kind == kind]


def test_a_sound_log_gives_no_warning(look):
    assert [one for one in look(log()).findings if one.severity != "info"] == []


# labels among the features


@pytest.mark.parametrize("copy", [
    pl.col("click"), 1 - pl.col("click"), pl.col("click") * 7.5,
    pl.when(pl.col("click") == 1).then(pl.lit("a")).otherwise(pl.lit("b")),
    pl.when(pl.int_range(pl.len()) % 1000 == 0).then(1 - pl.col("click")).otherwise("click"),
], ids=["itself", "turned", "scaled", "in words", "with a few errors"])  # fmt: skip
def test_a_copy_of_a_label_is_an_error_and_left_out(look, copy):
    found = look(with_first(log(), state=copy))
    finding = told(found, "label_copy")[0]
    assert (finding.severity, finding.columns) == ("error", ("state", "click"))
    assert finding.value > 0.99
    assert "Leave it out" in finding.message
    assert "state" not in [feature.name for feature in found.schema.features]


def test_a_number_far_above_chance_but_no_copy_is_a_warning(look):
    rng = np.random.default_rng(0)
    noisy = pl.col("click") + pl.Series(rng.normal(0, 0.36, ROWS))
    finding = told(look(with_first(log(), state=noisy)), "after_outcome")[0]
    assert finding.severity == "warning"
    assert 0.95 < finding.value < 0.99
    assert "alone tells click with AUC 0.9" in finding.message


def test_a_strong_but_ordinary_number_is_no_finding(look):
    rng = np.random.default_rng(0)
    noisy = pl.col("click") + pl.Series(rng.normal(0, 0.8, ROWS))  # AUC about 0.81
    found = look(with_first(log(), state=noisy))
    assert told(found, "after_outcome") == []
    assert "state" in [feature.name for feature in found.schema.features]


def test_two_columns_that_settle_the_label_together_are_named(look):
    mask = pl.Series(np.random.default_rng(1).integers(0, 2, ROWS))
    finding = told(look(with_first(log(), left=mask, right=(pl.col("click") - mask).abs())), "label_copy")[0]
    assert finding.columns == ("left", "right", "click")
    assert "together settle click" in finding.message


def test_a_copy_of_a_child_is_found_in_its_parents_space(look):
    # over all rows the parent alone tells most of the child; given the parent this column tells all of it
    state = pl.when(pl.col("click") == 1).then(pl.col("buy") + 5).otherwise(pl.int_range(pl.len()) % 2 + 5)
    finding = told(look(with_first(log(), state=state)), "label_copy")[0]
    assert finding.columns == ("state", "buy")
    assert "given click" in finding.message


# columns known only after the outcome


def test_a_value_that_occurs_with_one_outcome_alone_is_named(look):
    refused = (pl.col("click") == 0) & (pl.int_range(pl.len()) % 4 == 0)
    frame = with_first(log(rate=0.5), deposit=pl.when(refused).then(pl.lit("none")).otherwise(pl.lit("some")))
    finding = told(look(frame), "after_outcome")[0]
    assert finding.columns == ("deposit", "click")
    assert "where it is 'none', click is 1 in 0 % of" in finding.message


def test_a_time_that_is_there_only_with_the_outcome_is_named_by_its_null_or_values(look):
    paid = pl.when(pl.col("click") == 1).then(pl.int_range(pl.len()) % 90)
    found = look(with_first(log(), delay=paid))
    assert told(found, "label_copy")[0].columns == ("delay", "click")
    seldom = pl.when((pl.col("click") == 1) & (pl.int_range(pl.len()) % 3 == 0)).then(pl.lit("card"))
    found = look(with_first(log(), method=seldom))
    finding = told(found, "after_outcome")[0]
    assert finding.columns == ("method", "click")
    assert "where it is 'card', click is 1 in 100 %" in finding.message


def test_ids_that_happen_to_be_pure_are_no_finding(look):
    # each id has a rate of its own, some of them 0 or 1, none with many rows
    frame = log().with_columns(item_id=pl.int_range(pl.len()) // 40)
    assert told(look(frame), "after_outcome") == []


def test_a_value_seldom_followed_by_a_rare_label_is_no_finding(look):
    frame = log(rate=0.02)
    never = pl.when(pl.col("click") == 1).then(pl.lit("b")).otherwise(
        pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("a")).otherwise(pl.lit("b")))  # fmt: skip
    assert told(look(with_first(frame, state=never)), "after_outcome") == []


def _bookings(corrected, groups=400):
    """Groups of six bookings alike in everything; the country may be corrected on arrival (`corrected`)."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(groups), 6)
    kept = rng.random(len(group)) < 0.5
    home = np.array(["GBR", "FRA", "DEU"])[rng.integers(0, 3, len(group))]
    wrong = rng.random(len(group)) < 0.1  # so that no value settles the label by itself
    abroad = kept != wrong if corrected else rng.random(len(group)) < 0.5
    country = np.where(abroad, home, "PRT")
    return pl.DataFrame({
        "hotel": np.array(["City", "Resort"])[group % 2], "agent": group % 50, "lead": group % 97,
        "week": group % 31, "country": country, "kept": kept.astype(np.int8),
    })  # fmt: skip


def test_a_value_corrected_by_the_outcome_is_found_among_rows_alike_otherwise(look):
    found = look(_bookings(corrected=True))
    finding = told(found, "outcome_among_twins")[0]
    assert (finding.severity, finding.columns) == ("warning", ("country", "kept"))
    assert finding.value > 0.85
    assert "country" not in [feature.name for feature in found.schema.features]


def test_a_value_that_differs_among_twins_for_no_reason_is_no_finding(look):
    assert told(look(_bookings(corrected=False)), "outcome_among_twins") == []


def test_few_groups_of_twins_prove_nothing(look):
    assert told(look(_bookings(corrected=True, groups=90)), "outcome_among_twins") == []


# other outcomes


def test_another_outcome_beside_the_labels_is_left_out_and_said(look):
    frame = log()
    coupon = (pl.col("buy") * (pl.int_range(pl.len()) % 3 == 0)).cast(pl.Int8)
    found = look(frame.with_columns(coupon=coupon))
    finding = told(found, "other_outcome")[0]
    assert finding.columns == ("coupon",)
    assert "happens only where click = 1" in finding.message
    assert "coupon" in found.excluded


def test_an_unrelated_binary_column_behind_the_labels_is_for_a_person_to_decide(look):
    finding = told(look(log().with_columns(special=pl.int_range(pl.len()) % 2)), "other_outcome")[0]
    assert finding.severity == "warning"
    assert "Declare it as a task, or as a feature" in finding.message


def test_an_outcome_declared_as_a_feature_is_a_leak_and_an_undeclared_one_is_mentioned(look):
    frame = log().with_columns(coupon=(pl.col("buy") * (pl.int_range(pl.len()) % 3 == 0)).cast(pl.Int8))
    tasks = (Task("click", "click"), Task("buy", "buy", after="click"))
    declared = Schema(Keys("tab"), (Feature("x", "numeric"), Feature("coupon", "categorical")), tasks)
    assert told(look(frame, declared), "after_outcome")[0].columns == ("coupon", "click")
    left_out = Schema(Keys("tab"), (Feature("x", "numeric"),), tasks)
    assert told(look(frame, left_out), "after_outcome") == []
    assert told(look(frame, left_out), "other_outcome")[0].columns == ("coupon",)


# whole-period statistics


def _items(frame, expression):
    return with_first(frame, item_score=expression.over("item_id"))


@pytest.mark.parametrize("expression", [pl.col("click").mean(), pl.col("click").sum(), -pl.col("click").mean()])
def test_an_items_statistic_over_the_whole_period_is_named(look, expression):
    finding = told(look(_items(log(), expression)), "whole_period")[0]
    assert finding.columns == ("item_score", "click")
    assert abs(finding.value) > 0.9
    assert "Count it from rows before each row" in finding.message


def test_an_items_price_is_no_whole_period_statistic(look):
    price = np.random.default_rng(5).normal(size=60)
    frame = log()
    assert told(look(with_first(frame, price=pl.Series(price[frame["item_id"].to_numpy()]))), "whole_period") == []


def test_an_items_history_up_to_each_row_is_no_whole_period_statistic(look):
    history = (pl.col("click").cum_sum() - pl.col("click")).over("item_id")
    assert told(look(with_first(log(), history=history)), "whole_period") == []


# ids


@pytest.mark.parametrize(("ids", "kind", "severity"), [
    (pl.int_range(pl.len()) % 90 + 2**31, "wide_ids", "info"),
    (pl.int_range(pl.len()).cast(pl.Float64) % 90 + 2.0**53 + 2, "bent_ids", "error"),
    (((pl.int_range(pl.len()) % 90) * 2 + 2**24 + 2).cast(pl.Float32), "bent_ids", "error"),
    ((pl.int_range(pl.len()) % 90).cast(pl.Float64), "float_ids", "info"),
])  # fmt: skip
def test_ids_too_large_for_their_storage_are_named(look, ids, kind, severity):
    found = told(look(log().with_columns(item_id=ids)), kind)
    assert [(one.severity, one.columns) for one in found] == [(severity, ("item_id",))]


def test_large_numbers_that_are_no_ids_are_no_finding(look):
    found = look(with_first(log(), amount=pl.int_range(pl.len()) * 10**9))
    assert [one for one in found.findings if "amount" in one.columns] == []


# columns


@pytest.mark.parametrize("values", [pl.lit("x"), pl.lit(3), pl.lit(None, pl.String)])
def test_a_constant_column_is_named(look, values):
    finding = told(look(with_first(log(), same=values)), "constant")[0]
    assert finding.columns == ("same",)
    assert "in every row" in finding.message


def test_a_nearly_constant_column_is_mentioned(look):
    found = look(with_first(log(), rare=(pl.int_range(pl.len()) % 4000 == 0).cast(pl.Int8)))
    assert told(found, "near_constant")[0].columns == ("rare",)
    assert told(look(with_first(log(), half=pl.int_range(pl.len()) % 2)), "near_constant") == []


def test_a_mostly_null_column_is_mentioned(look):
    sparse = pl.when(pl.int_range(pl.len()) % 25 == 0).then(pl.col("x"))
    assert told(look(with_first(log(), sparse=sparse)), "mostly_null")[0].value == pytest.approx(0.96)
    half = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("x"))
    assert told(look(with_first(log(), half=half)), "mostly_null") == []


def test_infinities_and_nan_are_counted(look):
    odd = pl.when(pl.int_range(pl.len()) == 5).then(float("inf")).otherwise("x")
    found = look(with_first(log(), odd=odd, gap=pl.when(pl.int_range(pl.len()) < 80).then(float("nan")).otherwise("x")))
    assert told(found, "infinite")[0].message.startswith("odd is infinite in 1 rows")
    assert told(found, "nan")[0].message.startswith("gap is NaN in 80 rows (1.0 %)")


@pytest.mark.parametrize(("values", "how"), [
    (pl.col("colour"), "equals colour"),
    (pl.col("colour").replace_strict({"red": "rot", "green": "grün", "blue": "blau"}), "says the same in other words"),
    (pl.col("x") * 2 + 1, "says the same in other words as x"),
    (-pl.col("x"), "says the same in other words as x"),
])  # fmt: skip
def test_a_column_that_repeats_another_is_named_and_left_out(look, values, how):
    frame = log().with_columns(again=values).select(*log().columns[:6], "again", "click", "buy")
    found = look(frame)
    assert how in told(found, "duplicate")[0].message
    assert found.excluded["again"].startswith("repeats ")


def test_columns_that_differ_in_one_row_repeat_nothing(look):
    values = pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("red")).otherwise("colour")
    frame = log().with_columns(colour=pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("blue")).otherwise("colour"))
    assert told(look(with_first(frame, again=values)), "duplicate") == []


def test_repeated_rows_are_counted(look):
    frame = log()
    finding = told(look(pl.concat([frame, frame.head(800)])), "repeated_rows")[0]
    assert (finding.severity, finding.value) == ("warning", 800)
    assert "800 of 8,800 rows (9.1 %) repeat another row exactly" in finding.message
    assert told(look(frame), "repeated_rows") == []


# labels


def test_a_child_without_its_strict_parent_is_an_error_with_the_count(look):
    orphans = (pl.col("click") == 0) & (pl.int_range(pl.len()) < 100)
    frame = log().with_columns(buy=pl.when(orphans).then(1).otherwise("buy").cast(pl.Int8))
    tasks = (Task("click", "click"), Task("buy", "buy", after="click"))
    schema = Schema(Keys("tab"), (Feature("x", "numeric"),), tasks)
    finding = told(look(frame, schema), "orphans")[0]
    count = frame.filter((pl.col("buy") == 1) & (pl.col("click") == 0)).height
    assert (finding.severity, finding.value) == ("error", count)
    assert "set strict = false" in finding.message
    assert told(look(log(), schema), "orphans") == []


@pytest.mark.parametrize("value", [0, 1])
def test_a_label_of_one_class_is_an_error(look, value):
    schema = Schema(Keys("tab"), (Feature("x", "numeric"),), (Task("click", "click"),))
    finding = told(look(log().with_columns(click=pl.lit(value)), schema), "one_class")[0]
    assert finding.severity == "error"
    assert f"click is {value} in all 8,000 rows" in finding.message


def test_a_label_never_observed_is_an_error_and_one_seldom_observed_is_mentioned(look):
    schema = Schema(Keys("tab"), (Feature("x", "numeric"),), (Task("click", "click"),))
    half = log().with_columns(click=pl.when(pl.int_range(pl.len()) % 2 == 0).then("click"))
    assert told(look(half, schema), "unobserved_label")[0].value == pytest.approx(0.5)
    assert told(look(half, schema), "one_class") == []


def test_a_label_with_other_values_is_an_error(look):
    schema = Schema(Keys("tab"), (Feature("x", "numeric"),), (Task("click", "click"), Task("buy", "buy")))
    finding = told(look(log().with_columns(click=pl.col("click") * 2), schema), "label_values")[0]
    assert (finding.severity, finding.columns) == ("error", ("click",))
    assert "holds 0 to 2" in finding.message


def test_a_column_named_like_a_label_with_other_values_is_neither_label_nor_feature(look):
    found = look(with_first(log(), is_share=pl.int_range(pl.len()) % 3))
    assert told(found, "label_values")[0].columns == ("is_share",)
    assert "is_share" in found.excluded


def test_cells_too_small_are_named_with_their_numbers(look):
    place = pl.when(pl.int_range(pl.len()) < 150).then(pl.lit("tiny")).otherwise("tab")
    found = look(log().with_columns(tab=place))
    finding = told(found, "small_cells")[0]
    cell = next(one for one in found.cells if (one.scenario, one.task, one.space) == ("tiny", "click", "all"))
    assert f"click: tiny ({cell.positives} positives of 150)" in finding.message
    assert "fewer than 100 of one class" in finding.message
    assert told(look(log()), "small_cells") == []


def test_cells_that_are_hard_to_judge_are_mentioned(look):
    place = pl.when(pl.int_range(pl.len()) < 480).then(pl.lit("small")).otherwise("tab")
    finding = told(look(log().with_columns(tab=place).drop("buy")), "unjudgeable_cells")[0]
    assert "click: small (" in finding.message


def test_scenarios_that_schema_and_log_do_not_share_are_named(look):
    schema = Schema(Keys("tab"), (Feature("x", "numeric"),), (Task("click", "click"),), ("home", "shop"))
    found = look(log(), schema)
    assert "'feed'" in told(found, "unknown_scenario")[0].message
    assert "'shop'" in told(found, "absent_scenario")[0].message


def test_rows_without_a_scenario_are_an_error(look):
    found = look(log().with_columns(tab=pl.when(pl.int_range(pl.len()) > 7).then("tab")))
    finding = told(found, "scenario_null")[0]
    assert (finding.severity, finding.value) == ("error", 8)
    assert found.schema.scenarios == ("feed", "home")


def test_tasks_whose_ancestors_are_no_labels_are_left_uncounted(look):
    tasks = (Task("click", "x"), Task("buy", "click", after="click"), Task("again", "buy", after="buy"))
    found = look(log(), Schema(Keys("tab"), (Feature("colour", "categorical"),), tasks))
    assert told(found, "label_values")[0].columns == ("x",)
    assert found.cells == ()


# time


def test_a_time_that_does_not_order_the_rows_is_named(look):
    assert told(look(log()), "time_unsorted") == []
    assert told(look(log().sample(fraction=1.0, shuffle=True, seed=0)), "time_unsorted")[0].columns == ("time",)
    same = log().with_columns(time=pl.lit(datetime(2024, 1, 1)))
    assert told(look(same), "time_constant")[0].severity == "warning"
    gap = log().with_columns(time=pl.when(pl.int_range(pl.len()) > 5).then("time"))
    assert told(look(gap), "time_null")[0].value == 6


def test_a_log_without_a_time_is_told_of_random_splits(look):
    assert len(told(look(log().drop("time")), "no_time")) == 1


def test_findings_come_worst_first(look):
    frame = with_first(log(), state=pl.col("click"), same=pl.lit(1))
    severities = [one.severity for one in look(frame.drop("time")).findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert set(severities) == {"error", "warning", "info"}


def test_shares_are_never_rounded_to_nothing_or_all():
    assert share(1e-9) == "under 0.1 %"
    assert share(1 - 1e-9) == "over 99.9 %"


def test_leaks_are_found_on_a_sample_of_a_larger_log(look):
    frame = with_first(log(40_000), state=pl.col("click"))
    found = look(frame, sample=5000)
    assert found.sampled < 6000
    assert told(found, "label_copy")[0].columns == ("state", "click")
