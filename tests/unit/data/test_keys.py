from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from polyrec.data.keys import read_keys
from polyrec.errors import DataError


def rows(column):
    """Each row's value, None for null."""
    keys = read_keys(column, "feature 'x'")
    values = keys.values.tolist() if isinstance(keys.values, np.ndarray) else keys.values.to_pylist()
    values = [None if keys.nulls is not None and keys.nulls[place] else one for place, one in enumerate(values)]
    codes = range(len(values)) if keys.codes is None else keys.codes.tolist()
    return [None if code < 0 else values[code] for code in codes]


TEXTS = ["b", None, "a", "b"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()])
def test_texts_of_every_storage_are_texts(kind):
    column = pa.array(TEXTS, pa.string()).cast(kind)
    assert rows(column) == TEXTS
    assert read_keys(column, "x").kind == "text"


def test_dictionaries_of_texts_and_of_integers_are_read_by_their_values():
    assert rows(pa.array(TEXTS).dictionary_encode()) == TEXTS
    assert rows(pa.array([7, None, 7, 5]).dictionary_encode()) == [7, None, 7, 5]


def test_a_null_inside_a_dictionary_is_a_null():
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", None]))
    assert rows(column) == ["a", None, None]


def test_a_block_of_a_large_dictionary_holds_only_what_it_uses():
    column = pa.DictionaryArray.from_arrays(pa.array([900, None, 3, 900]), pa.array([str(one) for one in range(1000)]))
    keys = read_keys(column, "x")
    assert keys.values.to_pylist() == ["3", "900"]
    assert rows(column) == ["900", None, "3", "900"]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()])
def test_integers_of_every_width_are_integers(kind):
    assert rows(pa.array([3, None, 100], kind)) == [3, None, 100]


def test_booleans_are_zero_and_one():
    assert rows(pa.array([True, None, False])) == [1, None, 0]


def test_whole_floats_are_integers_and_nan_is_null():
    assert rows(pa.array([3.0, float("nan"), None, -1.0])) == [3, None, None, -1]


def test_ids_beyond_what_a_float_holds_stay_exact():
    assert rows(pa.array([2**53 + 1, 2**62 + 1])) == [2**53 + 1, 2**62 + 1]


def test_a_column_of_nulls_has_no_kind():
    assert read_keys(pa.nulls(2), "x").kind is None
    assert rows(pa.nulls(2)) == [None, None]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([1.5]), "feature 'x' has type double, not all of it fits int64"),
        (pa.array([float("inf")]), "not all of it fits int64"),
        (pa.array([2**63], pa.uint64()), r"not all of it fits int64: .* Write ids of 2\^63 and above as text"),
        (pa.array([b"\xff\xfe"]), "not all of it fits large_string"),
        (pa.array([date(2020, 1, 1)]), "has type date32.*ids are integers, texts or booleans"),
        (pa.array([[1]]), "has type list.*ids are"),
    ],
)
def test_what_names_nothing_is_refused(column, words):
    with pytest.raises(DataError, match=words):
        read_keys(column, "feature 'x'")


@pytest.mark.parametrize("index", [pa.uint8(), pa.uint32(), pa.int16()])
def test_dictionaries_may_have_indices_of_any_type(index):
    column = pa.array(["b", None, "a", "b"]).dictionary_encode().cast(pa.dictionary(index, pa.string()))
    keys = read_keys(column, "feature 'tab'")
    assert [None if code < 0 else keys.values[int(code)].as_py() for code in keys.codes] == ["b", None, "a", "b"]


@pytest.mark.parametrize(
    ("column", "bound"),
    [
        (pa.array([1.0, 2.0**53]), "9007199254740992"),
        (pa.array([-(2.0**60), None]), "9007199254740992"),
        (pa.array([16777216.0, 1.0], pa.float32()), "16777216"),
    ],
)
def test_ids_in_floats_that_cannot_tell_them_apart_are_refused(column, bound):
    with pytest.raises(DataError, match=rf"cannot tell integers from {bound} on apart.*Store them as int64 or as text"):
        read_keys(column, "feature 'item'")
