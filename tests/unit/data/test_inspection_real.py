"""What an inspection says about real logs: the known leaks, and nothing about ordinary columns."""

from pathlib import Path

import pytest

from polyrec.data.inspection import inspect
from polyrec.schema import Keys, Schema, Task

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[3].parent / "shared" / "data"
HOTEL = DATA / "hotel_bookings" / "bookings.parquet"
JOURNEY = DATA / "complete_journey" / "impressions_small.parquet"


@pytest.fixture(scope="module")
def hotel():
    if not HOTEL.is_file():
        pytest.skip(f"{HOTEL} is not on this machine")
    return inspect([HOTEL])


@pytest.fixture(scope="module")
def journey():
    if not JOURNEY.is_file():
        pytest.skip(f"{JOURNEY} is not on this machine")
    return inspect([JOURNEY])


def _leaks(found):
    kinds = ("label_copy", "after_outcome", "outcome_among_twins", "whole_period")
    return {finding.columns for finding in found.findings if finding.kind in kinds}


def test_of_the_hotels_columns_just_the_two_that_the_outcome_sets_are_named(hotel):
    assert _leaks(hotel) == {("deposit_type", "kept"), ("country", "kept")}
    assert not {"deposit_type", "country"} & {feature.name for feature in hotel.schema.features}


def test_the_hotels_schema_is_what_a_person_would_write(hotel):
    assert hotel.schema.keys == Keys("hotel", time="booking_date")
    assert hotel.schema.tasks == (Task("kept", "kept"), Task("parking", "parking", after="kept"))
    assert len(hotel.schema.features) == 18


def test_the_hotels_repeated_rows_are_counted(hotel):
    repeated = next(finding for finding in hotel.findings if finding.kind == "repeated_rows")
    assert repeated.value == 34_324


def test_the_hotels_side_label_is_left_for_a_person_to_decide(hotel):
    assert [one.columns for one in hotel.findings if one.kind == "other_outcome"] == [("special_request",)]


def test_the_grocery_log_draws_no_warning(journey):
    assert [finding for finding in journey.findings if finding.severity != "info"] == []
    assert _leaks(journey) == set()


def test_the_grocery_logs_schema_is_what_a_person_would_write(journey):
    schema = journey.schema
    assert schema.keys == Keys("scenario", "household_id", "item_type", "visit_time", "basket_id")
    assert {task.name: task.after for task in schema.tasks} == {"buy": None, "rebuy28": "buy", "buy_promoted": "buy"}
    sides = {side: {one.name for one in schema.features if one.side == side} for side in ("user", "item", "context")}
    assert sides["user"] == {"household_id", "age", "income", "household_size", "kids_count"}
    assert sides["item"] == {"item_type", "category", "department"}
    assert sides["context"] == {
        "store_id", "hour", "dow", "n_promoted_products", "display", "display_endcap", "prev_visits", "prev_buys",
        "days_since_last_buy",
    }  # fmt: skip


def test_the_grocery_logs_other_outcomes_are_left_out(journey):
    for name in ("coupon_used", "multi_unit"):
        assert journey.excluded[name].startswith("happens only where buy = 1")


def test_the_grocery_logs_other_outcomes_are_leaks_if_declared_as_features(journey):
    import dataclasses

    from polyrec.schema import Feature

    tasks = tuple(task for task in journey.schema.tasks if task.name != "buy_promoted")
    added = tuple(Feature(name, "categorical") for name in ("buy_promoted", "coupon_used", "multi_unit"))
    schema = dataclasses.replace(journey.schema, features=journey.schema.features + added, tasks=tasks)
    assert isinstance(schema, Schema)
    assert _leaks(inspect([JOURNEY], schema)) >= {
        ("buy_promoted", "buy"),
        ("multi_unit", "buy"),
        ("coupon_used", "buy"),
    }
