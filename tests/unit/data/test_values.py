import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrec.data import counted
from polyrec.data import values as module
from polyrec.data.counted import Counted
from polyrec.data.hashing import hash_text
from polyrec.data.keys import nothing, read_keys
from polyrec.data.values import Values
from polyrec.errors import DataError


def fitted(column, least=1, buckets=None):
    found = Counted("feature 'x'")
    found.add(read_keys(column, "feature 'x'"))
    return Values(found.kind, nothing(found.kind), buckets).grown(found, least)


def ids(values, column):
    return values.ids(read_keys(pa.array(column) if isinstance(column, list) else column, "x"), "feature 'x'").tolist()


def test_ids_follow_falling_counts_and_then_the_values():
    values = fitted(pa.array(["c", "b", "b", "a", None, "d", "d"]))
    assert values.array().to_pylist() == ["b", "d", "a", "c"]
    assert ids(values, ["a", "b", "c", "d", None, "z"]) == [4, 2, 5, 3, 1, 0]
    assert len(values) == 6


def test_integer_ids_do_too():
    values = fitted(pa.array([9, 5, 5, -3, None], pa.int8()))
    assert ids(values, [5, -3, 9, 6, None, -128, 2**62, -(2**62)]) == [2, 3, 4, 0, 1, 0, 0, 0]


def test_integers_far_apart_are_found_by_search():
    values = fitted(pa.array([2**62, 5, 5, -(2**62)]))
    assert values._dense is None
    assert ids(values, [5, -(2**62), 2**62, 6, 2**63 - 1, -(2**63)]) == [2, 3, 4, 0, 0, 0]


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-50, 50), min_size=1))
def test_every_known_integer_has_its_own_id_and_no_other_has_one(numbers):
    values = fitted(pa.array(numbers, pa.int64()))
    known = values.array().to_pylist()
    assert ids(values, pa.array(known, pa.int64())) == list(range(2, len(known) + 2))
    near = [one + 1 for one in known if one + 1 < 2**63 and one + 1 not in known]
    assert not any(ids(values, pa.array(near, pa.int64())))


def test_rare_values_are_out_of_vocabulary():
    values = fitted(pa.array(["a", "a", "b"]), least=2)
    assert ids(values, ["a", "b"]) == [2, 0]


def test_a_text_that_shares_a_known_hash_is_out_of_vocabulary(monkeypatch):
    monkeypatch.setattr(module, "hash_text", lambda texts: hash_text(texts) * np.uint64(0))
    assert ids(fitted(pa.array(["a"])), ["a", "b"]) == [2, 0]


def test_hashed_values_have_buckets_and_null_keeps_its_own():
    values = fitted(pa.array(["a", "b", None]), buckets=10)
    found = ids(values, ["a", "b", "never seen", None])
    assert found[-1] == 1
    assert all(2 <= one < 12 for one in found[:-1])
    assert len(values) == 12
    assert found == ids(values, pa.array(["a", "b", "never seen", None]).dictionary_encode())


def test_buckets_fill_evenly():
    values = fitted(pa.array([1]), buckets=50)
    counts = np.bincount(ids(values, pa.array(range(50_000))), minlength=52)[2:]
    assert counts.min() > 850
    assert counts.max() < 1150


@pytest.mark.parametrize(("known", "given"), [([1, 2], ["1"]), (["1"], [1, 2])])
def test_texts_and_integers_are_not_mixed_up(known, given):
    for buckets in (None, 8):
        with pytest.raises(DataError, match=r"feature 'x' holds .*; the training rows hold .* Convert the column"):
            ids(fitted(pa.array(known), buckets=buckets), given)


def test_growth_moves_no_id_and_appends_frequent_values():
    values = fitted(pa.array(["a", "b", "b"]))
    more = Counted("feature 'x'")
    more.add(read_keys(pa.array(["z", "z", "y", "a", "c", "c", "c"]), "x"))
    grown = values.grown(more, 2)
    assert grown.array().to_pylist() == ["b", "a", "c", "z"]
    assert values.array().to_pylist() == ["b", "a"]


def test_more_values_than_a_table_holds_are_refused(monkeypatch):
    monkeypatch.setattr(counted, "LARGEST", 4)
    with pytest.raises(DataError, match=r"feature 'x' has 3 values; a table holds 4 rows\. Set hash"):
        fitted(pa.array(["a", "b", "c"]))


def test_equal_values_are_equal():
    assert fitted(pa.array(["a", "b"])) == fitted(pa.array(["b", "a"]))
    assert fitted(pa.array(["a"])) != fitted(pa.array(["b"]))
    assert fitted(pa.array(["a"])) != fitted(pa.array([1]))
    assert fitted(pa.array(["a"]), buckets=3) != fitted(pa.array(["a"]), buckets=4)
