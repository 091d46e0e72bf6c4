from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest

from polyrec.data.parquet import Bounds
from polyrec.data.where import Between, Share, bound, from_dict, plain, to_dict
from polyrec.errors import ConfigError, DataError


def test_a_range_holds_its_low_end_and_not_its_high_end():
    rows = pa.table({"t": [1, 2, 3, 4]})
    assert Between("t", 2, 4).mask(rows, 0).tolist() == [False, True, True, False]


def test_a_null_lies_in_no_range():
    rows = pa.table({"t": [1, None]})
    assert Between("t", None, 5).mask(rows, 0).tolist() == [True, False]
    assert Between("t", 0, None).mask(rows, 0).tolist() == [True, False]


@pytest.mark.parametrize(
    ("column", "low"),
    [
        (pa.array([38, 39, 40], pa.int8()), 39),
        (pa.array([38, 39, 40], pa.int8()), 38.5),
        (pa.array([38, 39, 40], pa.uint64()), 39),
        (pa.array([0.5, 1.5, 2.5]), 1),
        (pa.array([date(2017, 1, 1), date(2017, 1, 2), date(2017, 1, 3)]), "2017-01-02"),
        (pa.array([date(2017, 1, 1), date(2017, 1, 2), date(2017, 1, 3)]), 17168),
        (pa.array([datetime(2017, 1, 1), datetime(2017, 1, 2), datetime(2017, 1, 3)]), "2017-01-01T00:00:01"),
        (pa.array([1, 2, 3], pa.timestamp("ms", "UTC")), "1970-01-01T00:00:00.002"),
        (pa.array([1, 2, 3], pa.timestamp("ns")), 2),
        (pa.array([1, 2, 3], pa.timestamp("us")), "1970-01-01T02:00:00.000002+02:00"),
        (pa.array(["2017-01-01", "2017-01-02", "2017-01-03"]), "2017-01-02"),
        (pa.array(["2017-01-01", "2017-01-02", "2017-01-03"]).dictionary_encode(), "2017-01-02"),
    ],
)
def test_bounds_compare_in_the_units_of_the_column(column, low):
    assert Between("t", low).mask(pa.table({"t": column}), 0).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("soon", pa.int8()), ("soon", pa.timestamp("us")), (3, pa.string()), (-1, pa.uint64()), ("x", pa.float64())],
)
def test_a_moment_unlike_its_column_is_refused(value, kind):
    with pytest.raises(ConfigError, match="does not compare with time column 't'"):
        bound(value, kind, "t")


def test_a_time_column_without_order_is_refused():
    with pytest.raises(DataError, match=r"time column 't' has type list.*Store it as numbers"):
        bound(1, pa.list_(pa.int64()), "t")


def test_statistics_decide_for_whole_row_groups():
    known = {"t": Bounds(3, 5, 0)}.get
    assert Between("t", 6).verdict(known, pa.int64()) is False
    assert Between("t", None, 3).verdict(known, pa.int64()) is False
    assert Between("t", 3, 6).verdict(known, pa.int64()) is True
    assert Between("t", 4).verdict(known, pa.int64()) is None
    assert Between("t", 3, 5).verdict(known, pa.int64()) is None
    assert Between("t", 3).verdict({}.get, pa.int64()) is None
    assert Between("t", 3).verdict(known, pa.float64()) is None  # a NaN would not be in them
    assert Between("t", 3).verdict({"t": Bounds(3, 5, 1)}.get, pa.int64()) is None


def test_shares_part_the_rows_as_their_sizes_say():
    rows = pa.table({"user": np.arange(20_000)})
    for column in (None, "user"):
        parts = [Share(low, high, 5, column).mask(rows, 0) for low, high in ((0, 0.7), (0.7, 0.9), (0.9, 1.0))]
        assert np.array_equal(np.sum(parts, axis=0), np.ones(20_000))
        assert np.allclose([part.mean() for part in parts], [0.7, 0.2, 0.1], atol=0.01)


def test_a_share_of_rows_does_not_depend_on_how_they_are_blocked():
    rows = pa.table({"x": np.arange(100)})
    share = Share(0.0, 0.5, 1)
    halves = [share.mask(rows.slice(0, 37), 1000), share.mask(rows.slice(37), 1037)]
    assert np.array_equal(np.concatenate(halves), share.mask(rows, 1000))


def test_another_seed_parts_otherwise():
    rows = pa.table({"x": np.arange(100)})
    assert not np.array_equal(Share(0, 0.5, 1).mask(rows, 0), Share(0, 0.5, 2).mask(rows, 0))


def test_a_user_is_in_one_part_whatever_the_column_is_stored_as():
    plain_text = pa.table({"user": ["a", "b", None, "a"] * 5})
    coded = pa.table({"user": plain_text["user"].dictionary_encode()})
    share = Share(0.0, 0.5, 1, "user")
    assert np.array_equal(share.mask(plain_text, 0), share.mask(coded, 0))
    narrow, wide = pa.array([5, None, 9], pa.int16()), pa.array([5, None, 9], pa.int64())
    assert np.array_equal(share.mask(pa.table({"user": narrow}), 0), share.mask(pa.table({"user": wide}), 0))


@pytest.mark.parametrize(
    "where", [Between("week", 3, None), Between("t", "2017-01-01", 5.5), Share(0.1, 0.2, 3, "user")]
)
def test_conditions_survive_json(where):
    import json

    assert from_dict(json.loads(json.dumps(to_dict(where)))) == where


def test_moments_of_a_file_become_what_json_holds():
    assert plain(datetime(2017, 1, 2, 3)) == "2017-01-02T03:00:00"
    assert plain(date(2017, 1, 2)) == "2017-01-02"
    assert plain(39) == 39


def test_rows_of_nobody_known_are_parted_each_by_itself():
    rows = pa.table({"user": pa.array([None] * 10_000, pa.int64())})
    parts = [Share(low, high, 3, "user").mask(rows, 0) for low, high in ((0.0, 0.8), (0.8, 0.9), (0.9, 1.0))]
    assert sum(part.astype(int) for part in parts).tolist() == [1] * 10_000
    assert [part.mean() for part in parts] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    blocks = [Share(0.0, 0.8, 3, "user").mask(rows.slice(at, 100), at) for at in range(0, 10_000, 100)]
    assert np.concatenate(blocks).tolist() == parts[0].tolist()


def test_a_moment_within_a_day_leaves_the_day_before_it():
    days = pa.array([date(2017, 1, 1), date(2017, 1, 2)])
    assert bound("2017-01-01T10:00:00", days.type, "day").as_py() == date(2017, 1, 2)
    assert bound("2017-01-01T00:00:00", days.type, "day").as_py() == date(2017, 1, 1)
