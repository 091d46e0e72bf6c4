import numpy as np
import pyarrow as pa
import pytest

from polyrec.data.columns import last, read_labels, read_lists, read_scenarios, read_vectors
from polyrec.errors import DataError

ROWS = [[1, 2], None, [], [3]]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int32())])
def test_lists_are_read_flat_with_their_lengths(kind):
    values, lengths = read_lists(pa.array(ROWS, kind), "x")
    assert (values.to_pylist(), lengths.tolist()) == ([1, 2, 3], [2, 0, 0, 1])


def test_a_slice_of_lists_is_read_from_where_it_starts():
    values, lengths = read_lists(pa.array([[9], *ROWS]).slice(1), "x")
    assert (values.to_pylist(), lengths.tolist()) == ([1, 2, 3], [2, 0, 0, 1])


def test_texts_are_split_at_bars_and_blanks():
    column = pa.array(["x", "a|b", None, "", " c  d ", "e"]).slice(1)
    for one in (column, column.dictionary_encode()):
        values, lengths = read_lists(one, "x")
        assert (values.to_pylist(), lengths.tolist()) == (["a", "b", "c", "d", "e"], [2, 0, 0, 2, 1])


def test_a_number_where_lists_are_expected_is_refused():
    with pytest.raises(DataError, match=r"feature 'seen' has type int64, expected lists"):
        read_lists(pa.array([1]), "feature 'seen'")


def test_the_last_values_of_a_long_list_are_kept():
    values, lengths = last(np.array([1, 2, 3, 4, 5, 6]), np.array([0, 4, 1, 1]), 3)
    assert (values.tolist(), lengths.tolist()) == ([2, 3, 4, 5, 6], [0, 3, 1, 1])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1.0, 2.0], None, [float("nan"), None]]),
        pa.array([[1.0, 2.0], None, [float("inf"), None]], pa.list_(pa.float32(), 2)),
        pa.array(["1|2.0", None, "0 0"]),
    ],
)
def test_vectors_are_rows_of_numbers_and_what_is_missing_is_zero(column):
    assert read_vectors(column, 2, "x").tolist() == [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(DataError, match=r"feature 'v' has a vector of 3 numbers; the schema says size = 2"):
        read_vectors(pa.array([[1.0, 2.0], [1.0, 2.0, 3.0]]), 2, "feature 'v'")


def test_a_vector_of_words_is_refused():
    with pytest.raises(DataError, match=r"feature 'v' has type string, not all of it fits double"):
        read_vectors(pa.array(["a b"]), 2, "feature 'v'")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["home", None]), ["home", None]),
        (pa.array([3, None, 3]), ["3", None, "3"]),
        (pa.array([3.0, None]), ["3", None]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([7, 8]).dictionary_encode(), ["7", "8"]),
        (pa.nulls(1), [None]),
    ],
)
def test_scenario_names_are_texts_whatever_the_column_holds(column, expected):
    keys = read_scenarios(column, "scenario column 'tab'")
    codes = keys.codes.tolist()
    assert [None if code < 0 else keys.values[code].as_py() for code in codes] == expected


def test_a_fraction_names_no_scenario():
    with pytest.raises(DataError, match="scenario column 'tab' has type double"):
        read_scenarios(pa.array([0.5]), "scenario column 'tab'")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None, 0], pa.int8()),
        pa.array([True, None, False]),
        pa.array([1.0, float("nan"), 0.0]),
        pa.array([1.0, None, 0.0], pa.float32()),
    ],
)
def test_labels_are_zero_and_one_and_null_is_not_observed(column):
    labels, observed = read_labels(column, "label 'click'")
    assert labels.tolist() == [1.0, 0.0, 0.0]
    assert observed.tolist() == [True, False, True]
    assert labels.dtype == np.float32


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (pa.array([0, 2, 1]), "2"),
        (pa.array([0.5]), "0.5"),
        (pa.array([-1, None]), "-1"),
        (pa.array([float("inf")]), "inf"),
    ],
)
def test_a_label_that_is_not_binary_is_refused_with_its_value(column, shown):
    with pytest.raises(DataError, match=rf"label 'click' has value {shown}(\.0)?; a label is 0, 1 or null"):
        read_labels(column, "label 'click'")


def test_a_label_of_text_is_refused():
    with pytest.raises(DataError, match="label 'click' has type text, expected 0 and 1"):
        read_labels(pa.array(["yes"]), "label 'click'")


def test_a_label_never_observed_may_have_any_type():
    for column in (pa.nulls(2), pa.array([None, None], pa.string())):
        assert read_labels(column, "x")[1].tolist() == [False, False]
