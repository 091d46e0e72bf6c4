from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from polyrec.config import DataConfig, Split
from polyrec.data.files import Source
from polyrec.data.split import split
from polyrec.errors import ConfigError, DataError
from polyrec.schema import Feature, Keys, Schema, Task


def parted(path, schema, **options):
    return split(DataConfig(schema="", log=(str(path),), split=Split(**options) if options else None), schema)


def column(source, name):
    return [one for table in source.tables([name]) for one in table[name].to_pylist()]


def parts(splits):
    return [splits.train, splits.valid, splits.test]


def test_by_time_no_moment_is_in_two_parts_and_shares_are_near(write, log, schema):
    splits = parted(write(log, group=100), schema, by="time", valid=0.2, test=0.3)
    weeks = [set(column(part, "week")) for part in parts(splits)]
    assert max(weeks[0]) < min(weeks[1]) <= max(weeks[1]) < min(weeks[2])
    assert [part.rows() / 1000 for part in parts(splits)] == pytest.approx([0.5, 0.2, 0.3], abs=0.06)
    assert sorted(one for part in parts(splits) for one in column(part, "row")) == list(range(1000))


def test_by_time_is_the_default_where_the_schema_has_a_time(write, log, schema):
    assert "week" in parted(write(log), schema).notes[0]


def test_random_is_the_default_where_it_has_none(write, log, schema):
    schema = Schema(Keys("tab"), schema.features, schema.tasks)
    assert "80% of the rows" in parted(write(log), schema).notes[0]


def test_moments_of_the_file_are_heeded_exactly(write, log, schema):
    splits = parted(write(log, group=100), schema, valid_from=6, test_from=8)
    assert [sorted(set(column(part, "week"))) for part in parts(splits)] == [[0, 1, 2, 3, 4, 5], [6, 7], [8, 9]]
    assert splits.notes[1] == f"valid: {splits.valid.rows():,} rows, 6 <= week < 8"


@pytest.mark.parametrize(
    ("times", "valid_from", "test_from"),
    [
        (lambda day: datetime(2017, 1, 1) + timedelta(days=day), "2017-01-07", datetime(2017, 1, 9)),
        (lambda day: (datetime(2017, 1, 1) + timedelta(days=day)).date(), "2017-01-07", "2017-01-09"),
        (lambda day: f"2017-01-{day + 1:02d}", "2017-01-07", "2017-01-09"),
        (lambda day: day + 0.5, 6, 8.25),
    ],
)
def test_moments_may_be_numbers_dates_times_and_texts(write, log, schema, times, valid_from, test_from):
    days = log["week"].to_pylist()
    log = log.drop_columns(["week"]).append_column("week", pa.array([times(day) for day in days]))
    path = write(log, group=100)
    splits = parted(path, schema, valid_from=valid_from, test_from=test_from)
    assert len(column(splits.train, "row")) == sum(day < 6 for day in days)
    assert len(column(splits.test, "row")) == sum(day >= 8 for day in days)
    by_share = parted(path, schema, by="time", valid=0.2, test=0.2)
    assert [part.rows() / 1000 for part in parts(by_share)] == pytest.approx([0.6, 0.2, 0.2], abs=0.06)
    seen = [set(column(part, "week")) for part in parts(by_share)]
    assert max(seen[0]) < min(seen[1])
    assert max(seen[1]) < min(seen[2])


def test_by_user_no_user_is_in_two_parts(write, log, schema):
    splits = parted(write(log), schema, by="user", valid=0.3, test=0.3)
    users = [set(column(part, "user")) for part in parts(splits)]
    assert sum(map(len, users)) == len(set.union(*users)) == 40
    assert min(map(len, users)) > 0


def test_random_parts_are_disjoint_whole_and_set_by_the_seed(write, log, schema):
    path = write(log, group=77)
    one, two = parted(path, schema, by="random", seed=1), parted(path, schema, by="random", seed=2)
    assert sorted(row for part in parts(one) for row in column(part, "row")) == list(range(1000))
    assert [part.rows() / 1000 for part in parts(one)] == pytest.approx([0.8, 0.1, 0.1], abs=0.04)
    assert column(one.test, "row") != column(two.test, "row")
    assert column(one.test, "row") == column(parted(path, schema, by="random", seed=1).test, "row")


def test_a_random_split_does_not_depend_on_the_row_groups(write, log, schema):
    one = parted(write(log, "a.parquet", 77), schema, by="random")
    two = parted(write(log, "b.parquet", 1000), schema, by="random")
    assert column(one.valid, "row") == column(two.valid, "row")


def test_listed_files_are_taken_as_they_are(write, log, schema):
    for name, at in (("a", 0), ("b", 600), ("c", 800)):
        write(log.slice(at, 200), f"{name}.parquet")
    folder = write(log).parent
    data = DataConfig("", train=(f"{folder}/a.parquet",), valid=(f"{folder}/b.parquet",), test=(f"{folder}/c.parquet",))
    splits = split(data, schema)
    assert [column(part, "row")[0] for part in parts(splits)] == [0, 600, 800]
    without = split(DataConfig("", train=data.train, valid=data.valid), schema)
    assert without.test is None
    assert len(without.notes) == 2


def test_a_file_in_two_parts_is_refused(write, log, schema):
    path = str(write(log))
    with pytest.raises(ConfigError, match=r"log\.parquet is in train and in valid\. Keep it in one"):
        split(DataConfig("", train=(path,), valid=(path,)), schema)


def test_a_split_without_its_key_says_how_to_add_it(write, log, schema):
    bare = Schema(Keys("tab"), schema.features, schema.tasks)
    with pytest.raises(ConfigError, match=r"by = 'user' needs .* Add user = \.\.\. to \[keys\]"):
        parted(write(log), bare, by="user")
    with pytest.raises(ConfigError, match=r"by = 'time' needs .* Add time = \.\.\. to \[keys\]"):
        parted(write(log), bare, by="time")


def test_a_part_without_rows_is_named(write, log, schema):
    with pytest.raises(DataError, match=r"test has no rows \(week >= 50\)\. Change the split"):
        parted(write(log), schema, valid_from=9, test_from=50)
    with pytest.raises(DataError, match="has no rows"):
        parted(write(log.slice(0, 1)), schema, by="random")


def test_moments_in_the_wrong_order_are_refused(write, log, schema):
    with pytest.raises(ConfigError, match="valid_from = 8 is not before test_from = 6"):
        parted(write(log), schema, valid_from=8, test_from=6)


def test_a_moment_of_another_kind_is_refused(write, log, schema):
    with pytest.raises(ConfigError, match="the moment 'June' does not compare with time column 'week' of type int8"):
        parted(write(log), schema, valid_from="June", test_from="July")


@pytest.mark.parametrize("hole", [None, float("nan")])
@pytest.mark.parametrize("options", [{"by": "time"}, {"valid_from": 6, "test_from": 8}])
def test_a_time_that_is_null_is_refused(write, log, schema, hole, options):
    times = log["week"].to_pylist()[:-1]
    weeks = pa.array([*(float(one) for one in times), hole], pa.float64())
    log = log.drop_columns(["week"]).append_column("week", weeks)
    with pytest.raises(DataError, match=r"time column 'week' has nulls, which belong to no part\. Fill them"):
        parted(write(log), schema, **options)


def test_too_few_moments_are_refused(write, log, schema):
    log = log.set_column(log.column_names.index("week"), "week", pa.array(np.arange(1000) % 2))
    with pytest.raises(DataError, match="time column 'week' has 2 different values; three parts need at least 3"):
        parted(write(log), schema, by="time")


def test_three_moments_make_three_parts(write, log, schema):
    log = log.set_column(log.column_names.index("week"), "week", pa.array(np.arange(1000) // 400))
    assert [part.rows() for part in parts(parted(write(log), schema, by="time"))] == [400, 400, 200]


def test_a_column_that_training_will_need_is_missed_at_once(write, log, schema):
    schema = Schema(
        schema.keys, (*schema.features, Feature("prise", "numeric")), (*schema.tasks, Task("like", "liked"))
    )
    with pytest.raises(DataError, match=r"'prise' .*(?s:.*)'liked'"):
        parted(write(log), schema)


def test_the_real_log_is_parted_as_its_readme_says(journey):
    schema = Schema(Keys("scenario", time="week"), (Feature("hour", "categorical"),), (Task("buy", "buy"),))
    splits = parted(journey, schema, valid_from=39, test_from=41)
    assert splits.test is not None
    assert splits.test.rows() == 598_018
    assert sum(part.rows() for part in parts(splits)) == Source(splits.train.paths).rows() == 3_137_455


def test_one_row_cannot_make_three_parts_whatever_the_split(write, log, schema):
    with pytest.raises(DataError, match=r"the log has 1 rows to split; three parts need at least 3. Give more rows"):
        parted(write(log.slice(0, 1)), schema, by="time")
