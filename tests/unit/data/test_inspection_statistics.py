from datetime import date

import numpy as np
import polars as pl
import pytest

from polyrec.data.inspection.reading import BLOCK, open_log, read
from polyrec.data.inspection.statistics import SMALLEST, Tallies


def _look(tmp_path, frame, sample=200_000, seed=0):
    path = tmp_path / "log.parquet"
    frame.write_parquet(path, row_group_size=20_000)
    tallies = Tallies()
    log = read(open_log([path]), sample, seed, tallies.see)
    return log, {column.name: column for column in tallies.columns(log)}


def test_statistics_of_a_column_are_those_of_all_its_rows(tmp_path):
    rows = 2 * BLOCK + 100
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=rows)
    numbers[5] = np.nan
    numbers[6] = np.inf
    frame = pl.DataFrame({
        "x": numbers,
        "name": [None if i % 10 == 0 else f"n{i % 7}" for i in range(rows)],
        "flag": [i % 2 for i in range(rows)],
        "when": [date(2020, 1, 1)] * rows,
    })  # fmt: skip
    _, columns = _look(tmp_path, frame, sample=1000)
    usable = numbers[np.isfinite(numbers)]
    x = columns["x"]
    assert (x.rows, x.nulls, x.nans, x.infinities) == (rows, 0, 1, 1)
    assert (x.low, x.high) == (usable.min(), usable.max())
    assert x.mean == pytest.approx(usable.mean())
    assert not x.whole
    assert not x.binary
    name = columns["name"]
    assert (name.nulls, name.distinct, name.low, name.high) == (len(range(0, rows, 10)), 7, "n0", "n6")
    assert columns["flag"].binary
    assert columns["when"].constant
    assert columns["when"].is_time


def test_distinct_values_are_exact_while_few_and_near_when_many(tmp_path):
    rows = 3 * BLOCK
    frame = pl.DataFrame({"few": np.arange(rows) % 1000, "many": np.arange(rows) % 200_000})
    _, columns = _look(tmp_path, frame, sample=1000)
    assert columns["few"].distinct == 1000
    assert columns["many"].distinct == pytest.approx(200_000, rel=4 / SMALLEST**0.5)


@pytest.mark.parametrize(("values", "binary"), [
    ([0, 1, None], True), ([0.0, 1.0, float("nan")], True), ([True, False, None], True), ([0, 1, 2], False),
    ([0.0, 0.5, 1.0], False), ([None, None, None], False),
])  # fmt: skip
def test_a_column_of_zero_and_one_is_binary_whatever_its_type(tmp_path, values, binary):
    _, columns = _look(tmp_path, pl.DataFrame({"y": pl.Series(values), "z": [1, 2, 3]}))
    assert columns["y"].binary is binary


def test_a_column_rises_only_if_it_never_falls_between_blocks(tmp_path):
    rows = BLOCK + 10
    up = np.arange(rows)
    falls = up.copy()
    falls[BLOCK:] = 0  # falls exactly where a new block begins
    _, columns = _look(tmp_path, pl.DataFrame({"up": up, "falls": falls}))
    assert columns["up"].rising
    assert not columns["falls"].rising


def test_a_small_log_is_its_own_sample(tmp_path):
    frame = pl.DataFrame({"x": [3, 1, 2]})
    log, _ = _look(tmp_path, frame, sample=3)
    assert log.sample.equals(frame)
    assert log.stretches is log.sample
    assert not log.sampled


def test_a_large_log_is_sampled_at_random_and_in_stretches_of_neighbours(tmp_path):
    rows = 50_000
    log, _ = _look(tmp_path, pl.DataFrame({"row": np.arange(rows)}), sample=6400)
    drawn, runs = log.sample["row"].to_numpy(), log.stretches["row"].to_numpy()
    assert abs(len(drawn) - 6400) < 400
    assert abs(drawn.mean() - rows / 2) < 1000
    assert len(runs) == 6400
    assert (np.diff(runs) == 1).sum() == 6400 - 64
    assert (runs[0], runs[-1]) == (0, rows - 1)


def test_equal_seeds_draw_equal_rows(tmp_path):
    frame = pl.DataFrame({"row": np.arange(5000)})
    first, second, other = (_look(tmp_path, frame, 500, seed)[0].sample for seed in (1, 1, 2))
    assert first.equals(second)
    assert not first.equals(other)


def test_repeated_rows_are_counted_and_estimated_from_a_part(tmp_path):
    frame = pl.DataFrame({"x": list(range(4000)) + list(range(1000)), "y": ["a"] * 5000})
    log, _ = _look(tmp_path, frame)
    assert log.repeated_rows() == (1000, True)
    about, exact = log.repeated_rows(most=1000)
    assert not exact
    assert about == pytest.approx(1000, rel=0.2)


def test_a_column_of_lists_has_lengths(tmp_path):
    _, columns = _look(tmp_path, pl.DataFrame({"seen": [[1, 2], [], [3]], "x": [1, 2, 3]}))
    assert columns["seen"].length == (0, 2)
    assert columns["seen"].distinct is None


def test_statistics_can_be_written_as_json(tmp_path):
    import json

    frame = pl.DataFrame({"when": [date(2020, 1, 1), date(2020, 1, 2)], "x": [1.0, float("inf")], "seen": [[1], [2]]})
    _, columns = _look(tmp_path, frame)
    plain = json.loads(json.dumps({name: column.to_dict() for name, column in columns.items()}, allow_nan=False))
    assert plain["when"]["low"] == "2020-01-01"
    assert plain["seen"]["length"] == [1, 1]
