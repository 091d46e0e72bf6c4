import numpy as np
import pyarrow as pa
import pytest

from polyrec.data import counted as module
from polyrec.data.counted import Counted
from polyrec.data.keys import read_keys
from polyrec.errors import DataError


def test_counts_over_many_chunks_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr(module, "_MERGE_AT", 50)
    random = np.random.default_rng(0)
    counted = Counted("x")
    numbers = random.zipf(1.5, 5000) % 300
    for part in np.array_split(numbers, 40):
        counted.add(read_keys(pa.array(part), "x"))
    found, counts = np.unique(numbers, return_counts=True)
    (frequent,) = counted.frequent(3)
    assert frequent.tolist() == found[np.lexsort((found, -counts))][np.sort(-counts) <= -3].tolist()
    assert (counted.rows, counted.nulls) == (5000, 0)


def test_nulls_are_counted_however_the_column_is_stored():
    for column in (pa.array(["a", None]), pa.array([1, None]), pa.nulls(2), pa.array(["a", None]).dictionary_encode()):
        counted = Counted("x")
        counted.add(read_keys(column, "x"))
        assert counted.nulls == 2 if pa.types.is_null(column.type) else 1
        noted = Counted("x")
        noted.note(read_keys(column, "x"))
        assert (noted.rows, noted.nulls, noted.kind) == (counted.rows, counted.nulls, counted.kind)


@pytest.mark.parametrize(("first", "then"), [([1], ["1"]), (["1"], [1])])
def test_a_column_that_changes_its_kind_is_refused(first, then):
    counted = Counted("feature 'x'")
    counted.add(read_keys(pa.array(first), "x"))
    with pytest.raises(DataError, match=r"feature 'x' holds .*; the training rows hold"):
        counted.add(read_keys(pa.array(then), "x"))


def test_a_column_that_is_null_at_first_takes_its_kind_later():
    counted = Counted("x")
    for column in (pa.nulls(3), pa.array([None, "a"])):
        counted.add(read_keys(column, "x"))
    assert (counted.kind, counted.rows, counted.nulls) == ("text", 5, 4)
    assert [block.to_pylist() for block in counted.frequent(1)] == [["a"]]
