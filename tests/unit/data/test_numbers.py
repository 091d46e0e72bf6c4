import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrec.data import sample as module
from polyrec.data.numbers import Moments, Tally, quantile_map, read_floats
from polyrec.data.sample import Sample
from polyrec.errors import DataError


def fitted(kind, values):
    tally = Tally(kind)
    column = pa.array(values)
    tally.add(read_floats(column, "x"), column.null_count)
    return tally.fitted()


def encoded(numbers, column):
    column = column if isinstance(column, pa.Array) else pa.array(column)
    out, absent = np.zeros(len(column), np.float32), np.zeros(len(column), np.float32)
    numbers.encode(column, "feature 'x'", out, absent if numbers.flagged else None)
    return out.tolist(), absent.tolist()


def test_standard_takes_the_training_mean_and_deviation():
    numbers = fitted("standard", [2.0, 4.0, 6.0])  # mean 4, deviation sqrt(8 / 3)
    assert encoded(numbers, [4.0, 8.0])[0] == pytest.approx([0.0, 4 / math.sqrt(8 / 3)])


def test_log_keeps_the_sign_and_is_standardised():
    raw = [-math.e + 1, 0.0, math.e - 1]  # -1, 0, 1 after the logarithm
    assert encoded(fitted("log", raw), raw)[0] == pytest.approx([-math.sqrt(1.5), 0.0, math.sqrt(1.5)], abs=1e-6)


def test_none_leaves_numbers_alone():
    assert encoded(fitted("none", [1.0, 9.0]), [3.5, -2.0])[0] == [3.5, -2.0]


def test_a_constant_column_is_harmless():
    assert encoded(fitted("standard", [5.0, 5.0]), [5.0, 6.0])[0] == [0.0, 1.0]
    assert encoded(fitted("quantile", [5.0, 5.0]), [5.0, 6.0, 4.0])[0] == [0.5, 0.5, 0.5]


def test_quantiles_are_mid_ranks_moved_onto_the_unit_interval():
    # ranks of 1, 1, 1, 2, 4: mid-ranks 1.5/5, 3.5/5, 4.5/5 -> (0, 2/3, 1)
    numbers = fitted("quantile", [1, 1, 1, 2, 4])
    assert encoded(numbers, [1, 2, 3, 4, 100, -100])[0] == pytest.approx([0, 2 / 3, 5 / 6, 1, 1, 0])


def test_quantiles_of_many_values_are_even():
    values = np.random.default_rng(0).exponential(size=20_000)
    numbers = fitted("quantile", values)
    assert len(numbers.knots) == 256
    fresh = np.random.default_rng(1).exponential(size=20_000)
    ranks = np.sort(encoded(numbers, fresh)[0])
    assert np.abs(ranks - np.linspace(0, 1, 20_000)).max() < 0.02


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=400))
def test_quantiles_never_fall_and_stay_in_the_unit_interval(values):
    knots, places = quantile_map(np.array(values))
    assert np.all(np.diff(knots) > 0)
    assert np.all(np.diff(places) > 0)
    assert all(0.0 <= place <= 1.0 for place in places)


@pytest.mark.parametrize("kind", ["none", "standard", "log", "quantile"])
def test_nan_infinity_and_null_are_one_and_raise_the_flag(kind):
    numbers = fitted(kind, [1.0, 3.0, None, float("nan"), float("inf"), float("-inf"), 1e300])
    assert (numbers.nulls, numbers.infinite, numbers.flagged) == (5, 4, True)
    out, absent = encoded(numbers, [None, float("nan"), float("-inf"), 1e300, 3.0])
    assert out[:4] == [0.0] * 4
    assert absent == [1.0, 1.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize(("kind", "expected"), [("none", 3.0), ("standard", 0.0), ("quantile", 1 / 3)])
def test_a_null_that_training_never_saw_is_the_mean(kind, expected):
    numbers = fitted(kind, [1.0, 1.0, 7.0])  # mean 3: a third of the way from 1 to 7
    assert not numbers.flagged
    for column in (pa.array([None, 7.0]), pa.array([None, 7]), pa.array([float("nan"), 7.0])):
        assert encoded(numbers, column)[0][0] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["none", "standard", "log", "quantile"])
@pytest.mark.parametrize("stored", [pa.int8(), pa.int64(), pa.uint64(), pa.float32()])
def test_integers_and_floats_encode_alike(kind, stored):
    training = np.random.default_rng(2).integers(-100, 100, 500).astype(float)
    numbers = fitted(kind, training)
    values = [0, 5, None, 99, 5]
    assert encoded(numbers, pa.array(values, stored)) == encoded(numbers, pa.array(values, pa.float64()))


def test_wide_integers_are_not_tabulated():
    numbers = fitted("none", [1.0])
    assert encoded(numbers, pa.array([0, 2**40, -(2**63)]))[0] == [0.0, 2.0**40, -(2.0**63)]


def test_a_value_far_out_stays_finite():
    numbers = fitted("standard", [1.0, 1.0 + 1e-12])
    assert np.isfinite(encoded(numbers, [1e38, -1e38])[0]).all()


def test_booleans_decimals_and_dictionaries_are_numbers():
    assert read_floats(pa.array([True, None]), "x").tolist()[0] == 1.0
    assert read_floats(pa.array([Decimal("1.5")]), "x").tolist() == [1.5]
    assert read_floats(pa.array([2, 2, 3]).dictionary_encode(), "x").tolist() == [2.0, 2.0, 3.0]


def test_text_where_numbers_are_expected_is_refused():
    with pytest.raises(DataError, match=r"feature 'x' has type string, expected numbers\. Convert the column"):
        read_floats(pa.array(["7"]), "feature 'x'")


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=20), min_size=1, max_size=5))
def test_moments_of_chunks_are_those_of_the_whole(chunks):
    moments = Moments()
    for chunk in chunks:
        moments.add(np.array(chunk))
    whole = np.array([one for chunk in chunks for one in chunk])
    if len(whole):
        assert moments.mean == pytest.approx(whole.mean(), abs=1e-6)
        assert moments.deviation == pytest.approx(whole.std(), rel=1e-6, abs=1e-6)
    assert moments.count == len(whole)


def test_a_sample_keeps_everything_that_fits():
    sample = Sample(10)
    sample.add(np.arange(4.0))
    sample.add(np.arange(6.0))
    assert sample.values().tolist() == [*range(4), *range(6)]


def test_a_sample_of_many_is_bounded_even_and_repeatable():
    def sampled():
        sample = Sample(2000)
        for start in range(0, 100_000, 500):
            sample.add(np.arange(start, start + 500, dtype=float))
        return sample.values()

    values = sampled()
    assert 900 < len(values) <= 2000
    assert abs(values.mean() - 50_000) < 2500
    assert np.array_equal(values, sampled())


def test_quantiles_of_a_sample_are_near_those_of_all(monkeypatch):
    monkeypatch.setattr(module, "SIZE", 4096)
    tally = Tally("quantile")
    values = np.random.default_rng(0).normal(size=100_000)
    for part in np.array_split(values, 50):
        tally.add(part)
    middle = tally.fitted().transform(np.quantile(values, [0.1, 0.5, 0.9]))
    assert middle.tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.03)


@pytest.mark.parametrize("kind", ["standard", "log"])
@pytest.mark.parametrize("value", [0.1, 5.0, 1e-9, -3.3])
def test_a_column_of_one_value_in_training_moves_another_value_by_its_distance(kind, value):
    numbers = fitted(kind, [value] * 1000)  # whose deviation is some 1e-17 by rounding
    assert max(map(abs, encoded(numbers, [value, value + 1.0])[0])) <= 1.0 + 1e-6


def test_integers_beyond_what_a_float_counts_are_standardised_by_table_as_one_by_one():
    low = 1_700_000_000_000_000_000
    column = pa.array(np.arange(low, low + 60_000, 7, dtype=np.int64))
    numbers = fitted("standard", column)
    by_table = encoded(numbers, column)[0]
    one_by_one = encoded(numbers, column.cast(pa.float64(), safe=False))[0]
    assert by_table == pytest.approx(one_by_one, abs=1e-3)
