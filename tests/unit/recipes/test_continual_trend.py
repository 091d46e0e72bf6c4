"""What goes on as it went is a trend and no fault; what jumps is a fault."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.profile import Profile
from polyrec.data.stretches import stretches
from polyrec.data.tally import EDGES
from polyrec.data.vocabulary import Vocabulary
from polyrec.recipes.continual.guards import _shifted, inspect
from polyrec.recipes.continual.trend import ahead, in_order, moved, stability
from polyrec.schema import Feature, Keys, Schema, Task

SCHEMA = Schema(
    Keys("tab", user="user", item="item", time="time"),
    (
        Feature("item", "categorical", "item"),
        Feature("age", "numeric", "item", transform="standard"),
        Feature("hist", "sequence", "user"),
    ),
    (Task("click", "click"),),
    unknown_scenario="shared",
)
DAYS, ROWS = 8, 1_500


def day(number, age, length):
    """A day whose items are `age` old and whose users have clicked on `length` others, each in the mean."""
    random = np.random.default_rng(number)
    return pl.DataFrame(
        {
            "tab": random.choice(["home", "feed"], ROWS),
            "user": random.integers(0, 300, ROWS),
            "item": random.integers(0, 100, ROWS),
            "age": random.normal(age, 1.0, ROWS),
            "hist": [random.integers(0, 100, one).tolist() for one in random.poisson(length, ROWS)],
            "time": np.sort(random.integers(number * 1_000_000, (number + 1) * 1_000_000, ROWS)),
            "click": random.integers(0, 2, ROWS),
        },
        schema_overrides={"hist": pl.List(pl.Int64)},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("days")


@pytest.fixture(scope="module")
def fitted(folder):
    """A function from days to the encoder, the profile and the stretches of a fit on all of them."""

    def fit(days):
        source = written(folder, pl.concat(days))
        encoder = Encoder(SCHEMA, Vocabulary.fit(SCHEMA, source))
        whole = Profile.of(source, encoder)
        return encoder, whole, stretches(source, encoder, whole)

    return fit


def written(folder, frame) -> Source:
    path = Path(folder) / f"{len(list(folder.iterdir()))}.parquet"
    frame.write_parquet(path, row_group_size=997)
    return Source((path,))


@pytest.fixture(scope="module")
def growing(fitted):
    """Eight days, each one older by one and a half standard deviations of a day than the last."""
    return fitted([day(number, 1.5 * number, 0.7 * number) for number in range(DAYS)])


def shifts(folder, fit, frame, *, known=True):
    encoder, whole, moving = fit
    profile = Profile.of(written(folder, frame), encoder)
    found = inspect(profile, [("the fit", whole)], stretches=moving if known else ())
    return {one.about for one in found if one.kind == "shift"}


def test_steady_growth_is_no_shift(folder, growing):
    today = day(DAYS, 1.5 * DAYS, 0.7 * DAYS)
    assert shifts(folder, growing, today) == set()
    assert shifts(folder, growing, today, known=False) == {"age", "length of hist"}


def test_each_period_is_allowed_what_the_ones_before_it_lead_to(folder, growing):
    encoder, whole, moving = growing
    before = [("the fit", whole)]
    for number in range(DAYS, DAYS + 12):  # beyond the last that a feature is compared with
        profile = Profile.of(written(folder, day(number, 1.5 * number, 0.7 * number)), encoder)
        found = {one.about for one in inspect(profile, before, stretches=moving)}
        assert "length of hist" not in found
        before.append((str(number), profile))


@pytest.mark.parametrize(
    ("age", "length", "expected"),
    [
        (1.5 * DAYS + 6.0, 0.7 * DAYS, {"age"}),  # five days at once
        (-6.0, 0.7 * DAYS, {"age"}),  # back beyond where it came from
        (1.5 * DAYS, 60.0, {"length of hist"}),
    ],
)
def test_a_jump_is_a_shift_whatever_the_trend_was(folder, growing, age, length, expected):
    assert shifts(folder, growing, day(DAYS, age, length)) == expected


def test_a_jump_in_the_past_and_days_that_take_turns_are_no_trend(folder, fitted):
    for ages in ([0, 0, 0, 0, 0, 0, 0, 6], [0, 6] * 4):
        fit = fitted([day(number, age, 2.0) for number, age in enumerate(ages)])
        assert shifts(folder, fit, day(DAYS, 12, 2.0)) == {"age"}
        assert shifts(folder, fit, day(DAYS, 6, 2.0)) == set()  # like one of the days


def test_stretches_hold_every_row_that_has_a_time(folder):
    rows = pl.concat([day(number, number, 1.0) for number in range(DAYS)]).with_row_index("place")
    lost = pl.col("place") % 100 == 0
    wrong = pl.when(pl.col("place") == 777).then(10**12).otherwise(pl.when(lost).then(None).otherwise(pl.col("time")))
    source = written(folder, rows.with_columns(time=wrong).drop("place").sample(fraction=1.0, shuffle=True, seed=1))
    encoder = Encoder(SCHEMA, Vocabulary.fit(SCHEMA, source))
    whole = Profile.of(source, encoder)
    found = stretches(source, encoder, whole)
    assert len(found) == 8
    assert sum(one.rows for one in found) == whole.rows - whole.undated == 0.99 * DAYS * ROWS
    assert in_order(found) == list(found)
    total = np.sum([one.fields["age"] for one in found], 0)
    assert (np.array(whole.fields["age"]) - total).min() >= 0
    assert total.sum() == whole.rows - whole.undated
    few = Profile.of(written(folder, rows.drop("place").head(1_900)), encoder)
    assert stretches(source, encoder, few) == ()


@pytest.mark.parametrize("kind", [pl.Datetime("ms"), pl.Datetime("ns"), pl.Date, pl.String])
def test_stretches_of_dates_and_of_texts(folder, kind):
    rows = pl.concat([day(number, number, 1.0) for number in range(3)])
    times = (pl.col("time") * 86_400_000).cast(pl.Datetime("us"))
    moments = times.dt.strftime("%Y-%m-%d") if kind == pl.String else times.cast(kind)
    source = written(folder, rows.with_columns(time=moments))
    encoder = Encoder(SCHEMA, Vocabulary.fit(SCHEMA, source))
    found = stretches(source, encoder, Profile.of(source, encoder))
    assert [one.rows for one in found] == ([] if kind == pl.String else [pytest.approx(ROWS * 3 / 4, rel=0.05)] * 4)


SHARES = st.lists(st.integers(0, 500), min_size=5, max_size=5).filter(lambda counts: sum(counts) > 0)


@given(SHARES, SHARES)
def test_no_pace_moves_nothing_and_no_row_is_lost(before, last):
    before, last = (np.array(one, float) for one in (before, last))
    assert np.abs(moved(before, last, 0.0) - last).max() <= 2 * last.sum() / 2_000
    assert moved(before, last, 1.7).sum() == pytest.approx(last.sum())


def of(place, mean, **more):
    """A period at a moment, of a number as the model reads it."""
    values = np.random.default_rng(place).normal(mean, 0.5, 20_000)
    counts = np.bincount(np.searchsorted(EDGES, values, "right"), minlength=len(EDGES) + 1)
    return Profile(20_000, {"age": counts.tolist()}, {}, {}, "", (), usual=(place, place + 1), **more)


def test_a_pace_leads_as_far_as_the_moment_and_no_further_than_twice_a_step_that_was_tried():
    line = [of(place, 0.4 * place - 2) for place in range(5)]

    def off(bins, mean):
        return stability(bins, of(99, mean).fields["age"]).sum()

    half, whole = ahead(line, "age", of(5, 9.0))
    assert off(half, -0.2) < 0.05 < off(half, 0.3)
    assert off(whole, 0.0) < 0.05 < off(whole, 0.5)
    far = ahead(line, "age", of(90, 9.0))[1]
    assert off(far, -0.4 + 2 * 0.4) < 0.4 < off(far, -0.4 + 4 * 0.4)


def test_what_is_like_an_early_stretch_of_the_fit_alone_is_a_shift():
    fit = [of(0, -2.0), *(of(place, 1.0) for place in range(1, 8))]
    assert _shifted(of(8, -2.0), [of(0, 0.6)], fit)
    assert not _shifted(of(8, 1.0), [of(0, 0.6)], fit)


def test_nothing_is_foretold_of_ids_of_what_is_not_later_nor_from_too_few():
    line = [of(place, 0.4 * place - 2) for place in range(5)]
    assert ahead(line, "age", of(5, 0.0, unknown={"age": 0})) == []
    assert ahead(line, "age", of(3, 0.0)) == []
    assert ahead(line[:3], "age", of(5, 0.0)) == []


def test_a_scenario_that_the_model_knows_may_be_nameless(folder, growing):
    encoder, whole, _ = growing
    frame = day(3, 4.5, 2.1).with_columns(tab=pl.lit(""))
    profile = Profile.of(written(folder, frame), encoder)
    assert ("columns", "scenario") in {(one.kind, one.about) for one in inspect(profile, [("the fit", whole)])}
    found = inspect(profile, [("the fit", whole)], scenarios=["", "home"])
    assert "columns" not in {one.kind for one in found}
