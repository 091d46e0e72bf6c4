"""A bad period is told in words, a plain one is not."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.profile import LONG, SKETCH, Profile, sizes
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import ConfigError, DataError
from polyrec.recipes.continual.guards import _label, inspect, stray
from polyrec.recipes.continual.periods import periods
from polyrec.recipes.continual.trend import stability
from polyrec.schema import Feature, Keys, Schema, Task

SCHEMA = Schema(
    Keys("tab", user="user", item="item", time="time"),
    (
        Feature("user", "categorical", "user"),
        Feature("item", "categorical", "item"),
        Feature("price", "numeric", "item"),
    ),
    (Task("click", "click"), Task("buy", "buy", after="click")),
    unknown_scenario="shared",
)


def day(number, rows=4_000, seed=None):
    random = np.random.default_rng(number if seed is None else seed)
    click = random.random(rows) < 0.2
    return pl.DataFrame(
        {
            "tab": random.choice(["home", "feed"], rows),
            "user": random.integers(0, 300, rows),
            "item": random.integers(0, 100, rows),
            "price": random.normal(5.0, 2.0, rows),
            "time": np.sort(random.integers(number * 1_000_000, (number + 1) * 1_000_000, rows)),
            "click": click.astype(int),
            "buy": (click & (random.random(rows) < 0.3)).astype(int),
        }
    )


@pytest.fixture
def looked(tmp_path):
    """A function from a frame to its profile, by an encoder that was fitted on day 0."""

    def write(frame: pl.DataFrame) -> Source:
        path = Path(tmp_path) / f"{len(list(tmp_path.iterdir()))}.parquet"
        frame.write_parquet(path, row_group_size=1_000)
        return Source((path,))

    encoder = Encoder(SCHEMA, Vocabulary.fit(SCHEMA, write(day(0))))

    def look(frame, before=None, **options):
        return Profile.of(write(frame), encoder, before, **options)

    look.write = write
    return look


def kinds(looked, frame, days=3):
    before = [(f"day {one}", looked(day(one))) for one in range(days)]
    return {(one.kind, one.about) for one in inspect(looked(frame, days * 1_000_000), before)}


def test_a_plain_day_is_taken_without_a_word(looked):
    assert kinds(looked, day(3)) == set()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (pl.lit(0).alias("click"), ("labels", "click")),
        (pl.lit(1).alias("click"), ("labels", "click")),
        ((1 - pl.col("click")).alias("click"), ("labels", "click")),
        (pl.when(pl.col("tab") == "home").then(0).otherwise(pl.col("click")).alias("click"), ("labels", "home/click")),
        (pl.when(pl.col("item") < 80).then(None).otherwise(pl.col("click")).alias("click"), ("labels", "click")),
        ((pl.col("price") * 100).alias("price"), ("shift", "price")),
        (pl.lit(3).alias("item"), ("shift", "item")),
        ((pl.col("item") + 1_000).alias("item"), ("shift", "item")),
        ((pl.col("time") - 1_000_000).alias("time"), ("late", "time")),
        (pl.lit(float("nan")).alias("price"), ("shift", "price")),
        (pl.lit(None, pl.Float64).alias("price"), ("shift", "price")),
        (pl.lit(None, pl.Int64).alias("time"), ("late", "time")),
    ],
)
def test_what_is_wrong_is_named(looked, change, expected):
    assert expected in kinds(looked, day(3).with_columns(change))


def test_a_feature_that_a_day_lacks_whole_can_be_grown_over(looked):
    vocabulary = Vocabulary.fit(SCHEMA, looked.write(day(0)))
    grown = vocabulary.grow(SCHEMA, looked.write(day(1).with_columns(price=pl.lit(float("nan")))))
    assert grown.numbers == vocabulary.numbers
    with pytest.raises(DataError, match="in all 4,000 training rows"):
        Vocabulary.fit(SCHEMA, looked.write(day(1).with_columns(price=pl.lit(None, pl.Float64))))


def test_a_day_that_was_there_already_is_known_in_any_order_and_with_other_labels(looked):
    again = day(1).sample(fraction=1.0, shuffle=True, seed=1).with_columns(click=pl.lit(1))
    assert ("duplicate", "day 1") in kinds(looked, again)


def test_a_day_that_is_there_in_part_is_known(looked):
    mixed = pl.concat([day(3).head(3_000), day(2).head(1_000)])
    assert ("duplicate", "day 2") in kinds(looked, mixed)


def test_a_weekday_that_comes_back_is_no_shift(looked):
    def of(number):
        return day(number).with_columns(item=pl.lit(number % 3))

    before = [(str(one), looked(of(one))) for one in range(3)]
    assert not [one for one in inspect(looked(of(3)), before) if one.kind == "shift"]


def test_a_rare_label_in_few_rows_is_not_called_broken(looked):
    few = day(3).head(30).with_columns(click=pl.lit(0), buy=pl.lit(0))
    assert not [one for one in inspect(looked(few), [("0", looked(day(0)))]) if one.kind == "labels"]


def test_an_auc_that_falls_beyond_its_interval_is_in_doubt(looked):
    past = {"click": [0.70, 0.72, 0.71]}
    plain = looked(day(3))
    assert not inspect(plain, [], auc={"click": (0.55, 0.62)}, known=past)
    (found,) = inspect(plain, [], auc={"click": (0.50, 0.55)}, known=past)
    assert found.kind == "quality"
    assert "before it was 0.710" in found.words


@given(st.integers(0, 2_000), st.integers(200, 4_000), st.integers(200, 4_000))
@settings(deadline=None)
def test_the_overlap_of_sketches_is_near_the_share_of_common_rows(common, mine, theirs):
    random = np.random.default_rng(common + 7 * mine)
    values = random.permutation(2**14)[: common + mine + theirs]
    one, other = values[: common + mine], np.concatenate([values[:common], values[common + mine :]])

    def profile(hashes):
        return Profile(len(hashes), {}, {}, {}, "", tuple(sorted(hashes.tolist())[:SKETCH]))

    assert profile(one).overlap(profile(other)) == pytest.approx(common / (common + mine), abs=0.15)


def test_a_day_that_is_half_there_is_known_among_the_rows_of_a_month(looked):
    month = [day(number, rows=2_000) for number in range(30)]
    encoder_rows = pl.concat(month)
    fit = looked(encoder_rows, sketch=LONG)
    again = pl.concat([month[29].head(1_000), day(30, rows=1_000)])
    common, seen = looked(again).common(fit)
    assert seen > 200
    assert common / seen == pytest.approx(0.5, abs=0.12)
    found = inspect(looked(again), [("the fit", fit)])
    assert ("duplicate", "the fit") in {(one.kind, one.about) for one in found}


def test_one_equal_row_among_few_that_were_compared_is_no_duplicate():
    few = Profile(1_000, {}, {}, {"home": 1_000}, "a", tuple(range(10, 2_010, 200)), time=(0, 1))
    many = Profile(10**6, {}, {}, {"home": 10**6}, "b", (10, *range(11, 2_011, 40)), time=(0, 1))
    assert few.common(many) == (1, 10)
    assert not inspect(few, [("the fit", many)])


def test_values_that_the_vocabulary_learned_since_are_no_shift(tmp_path):
    def news(number):  # half of a day's items are new, and never come again after two days
        frame = day(number)
        return frame.with_columns(item=pl.col("item") % 50 + 25 * number)

    def source(number):
        path = tmp_path / f"{number}.parquet"
        news(number).write_parquet(path)
        return Source((path,))

    vocabulary = Vocabulary.fit(SCHEMA, source(0))
    first = sizes(Encoder(SCHEMA, vocabulary))
    profiles = [Profile.of(source(0), Encoder(SCHEMA, vocabulary))]
    for number in range(1, 4):
        profile = Profile.of(source(number), Encoder(SCHEMA, vocabulary), first=first)
        before = [(str(place), one) for place, one in enumerate(profiles)]
        if number > 1:
            assert not [one for one in inspect(profile, before) if one.kind == "shift"]
        assert sum(profile.fields["item"]) + profile.unknown["item"] + profile.later["item"] == profile.rows
        vocabulary = vocabulary.grow(SCHEMA.with_scenarios(vocabulary.scenarios), source(number))
        profiles.append(profile)


def test_one_wrong_clock_makes_no_later_row_late(looked):
    wrong = day(2).with_columns(time=pl.when(pl.int_range(pl.len()) == 7).then(9 * 10**9).otherwise(pl.col("time")))
    profile = looked(wrong)
    assert profile.time[1] == 9 * 10**9
    assert profile.until < 3_000_000
    assert profile.strays()
    assert "no later than" in stray(profile, looked.write(wrong), SCHEMA)[0]
    assert not stray(looked(day(2)), looked.write(day(2)), SCHEMA)
    assert looked(day(3), profile.until).late == 0


def at(number, kind):
    """Rows of a day in 2024, their time in a unit of its own."""
    frame = day(number).with_columns(micros=pl.col("time") * 86_400 // 1_000 * 1_000 + 1_704_067_200_000_000)
    if kind in ("s", "ms", "us"):
        return frame.with_columns(time=pl.col("micros") // {"s": 10**6, "ms": 10**3, "us": 1}[kind])
    return frame.with_columns(time=pl.from_epoch("micros", "us").cast(kind))


@pytest.mark.parametrize("kind", [pl.Datetime("ms"), pl.Datetime("ns"), pl.Datetime("us", "UTC"), pl.Date])
def test_dates_and_times_compare_in_whatever_unit_they_are_stored(looked, kind):
    before = looked(at(2, pl.Datetime("us")))
    assert looked(at(3, kind), before.until).late == 0
    assert looked(at(1, kind), before.until).late == 4_000
    if kind != pl.Date:
        assert looked(at(2, kind)).digest == before.digest


@pytest.mark.parametrize(("was", "now"), [("ms", "s"), ("s", "ms"), ("us", "s"), ("us", "ms")])
def test_numbers_of_another_unit_are_refused(looked, was, now):
    before = looked(at(2, was))
    found = inspect(looked(at(3, now), before.until), [("day 2", before)], until=str(before.until))
    assert ("time", True) in {(one.kind, one.fatal) for one in found}
    assert "another unit" in next(one.words for one in found if one.kind == "time")
    assert "late" not in {one.kind for one in found}


def test_numbers_of_time_where_there_was_text_are_refused(looked):
    with pytest.raises(DataError, match="was text in the rows before and is numbers here"):
        looked(day(3), "2024-01-01")


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=20))
def test_the_stability_index_is_symmetric_and_never_negative(pairs):
    one, other = zip(*pairs, strict=True)
    forth, back = stability(one, other), stability(other, one)
    assert (forth >= 0).all()
    np.testing.assert_allclose(forth, back, atol=1e-12)


def test_a_missing_column_and_a_label_that_is_no_label_are_refused(looked):
    with pytest.raises(DataError, match="click"):
        looked(day(3).drop("click"))
    with pytest.raises(DataError, match="label 'click' has value 7"):
        looked(day(3).with_columns(click=pl.lit(7)))


def test_a_new_scenario_that_is_called_by_nothing_is_refused_unless_it_was_there_before(looked):
    nameless = day(3).with_columns(tab=pl.when(pl.int_range(pl.len()) < 400).then(pl.lit("")).otherwise("tab"))
    found = inspect(looked(nameless), [("day 0", looked(day(0)))])
    assert [(one.kind, one.words, one.fatal) for one in found] == [
        ("columns", "the scenario is '' in 400 of 4,000 rows", True)
    ]
    known = nameless.with_columns(pl.col("user").shuffle(seed=1), pl.col("item").shuffle(seed=2))
    assert not inspect(looked(known), [("day 3", looked(nameless))])


def test_rows_are_cut_by_time_and_every_row_is_in_one_period(tmp_path):
    pl.concat([day(0), day(1), day(3)]).write_parquet(tmp_path / "log.parquet")
    found = periods([str(tmp_path / "log.parquet")], SCHEMA, "1000000")
    assert [one.source.rows() for one in found] == [4_000, 4_000, 4_000]
    assert [one.name for one in found] == ["time 0", "time 1000000", "time 3000000"]
    with pytest.raises(ConfigError, match=r"--every day does not divide time column 'time'"):
        periods([str(tmp_path / "log.parquet")], SCHEMA, "day")


def test_rows_without_a_time_are_told_and_a_far_one_costs_no_memory(tmp_path):
    frame = day(0).with_columns(
        time=pl.when(pl.int_range(pl.len()) < 3).then(None).when(pl.int_range(pl.len()) == 3).then(2**60)
        .otherwise(pl.col("time"))
    )  # fmt: skip
    frame.write_parquet(tmp_path / "log.parquet")
    told = []
    found = periods([str(tmp_path / "log.parquet")], SCHEMA, "1000000", told.append)
    assert [one.source.rows() for one in found] == [3_996, 1]
    assert told[0].startswith("warning: time column 'time' is null in 3 of 4,000 rows: they are in no period")


def test_a_stretch_of_time_is_known_whatever_is_added_to_its_files(tmp_path):
    day(0).write_parquet(tmp_path / "log-0.parquet")
    (first,) = periods([str(tmp_path / "log-*.parquet")], SCHEMA, "1000000")
    day(1).write_parquet(tmp_path / "log-1.parquet")
    again, second = periods([str(tmp_path / "log-*.parquet")], SCHEMA, "1000000")
    assert again.known(first.about)
    assert not second.known(first.about)
    (other,) = periods([str(tmp_path / "log-1.parquet")], SCHEMA, "1000000")
    assert not other.known(first.about)
    (plain,) = periods([str(tmp_path / "log-0.parquet")], SCHEMA)
    assert plain.known(json.loads(json.dumps(plain.about)))
    day(0).write_parquet(tmp_path / "log-0.parquet")
    assert not plain.known(first.about)


def test_dates_are_cut_by_the_hour_into_their_days(tmp_path):
    frame = pl.DataFrame({"time": ["2024-02-28", "2024-02-28", "2024-02-29"]})
    frame.with_columns(pl.col("time").str.to_date()).write_parquet(tmp_path / "log.parquet")
    found = periods([str(tmp_path / "log.parquet")], SCHEMA, "hour")
    assert [one.source.rows() for one in found] == [2, 1]


@pytest.mark.parametrize("kind", [pl.Date, pl.Datetime("us"), pl.Datetime("ms")])
def test_dates_and_times_are_cut_by_day(tmp_path, kind):
    frame = pl.DataFrame({"time": ["2024-02-28", "2024-02-28", "2024-02-29", "2024-03-02"]}).with_columns(
        pl.col("time").str.to_datetime("%Y-%m-%d").cast(kind)
    )
    frame.write_parquet(tmp_path / "log.parquet")
    found = periods([str(tmp_path / "log.parquet")], SCHEMA, "day")
    assert [one.name for one in found] == ["time 2024-02-28", "time 2024-02-29", "time 2024-03-02"]
    assert [one.source.rows() for one in found] == [2, 1, 1]


def told(now, *before):
    return _label(now, list(before))


def test_few_rows_of_a_label_are_no_alarm():
    usual = (100_000, 100_000, 50)
    assert told((2, 2, 0), usual) is None
    assert told((2, 0, 0), usual) is None
    assert told((1_000, 1_000, 0), usual) is None
    assert told((1_000, 1_000, 300), (10, 10, 0)) is None  # ten rows without a positive say little of a rate


def test_many_rows_of_a_label_are():
    assert "0 everywhere" in told((5_000, 5_000, 0), (5_000, 5_000, 1_000))
    assert "1 everywhere" in told((5_000, 5_000, 5_000), (5_000, 5_000, 1_000))
    assert told((5_000, 5_000, 2_500), (50_000, 50_000, 10_000)) is not None
    assert told((5_000, 5_000, 1_050), (50_000, 50_000, 10_000)) is None
