"""Items in a mapped file: the same rows as of a table in memory, and none but those in memory."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrec.errors import BundleError, DataError
from polyrec.retrieval.mapped import ITEMS, found, open_items, picked

COUNT, BLOCK = 60_000, 7_000


def table(kind, count=COUNT):
    keys = np.random.default_rng(0).permutation(count)
    named = pa.array([f"item-{one}" for one in keys]) if kind == "text" else pa.array(keys)
    return pa.table({"item": named, "brand": [f"b{one % 7}" for one in keys], "tags": [[one, one] for one in keys]})


@pytest.fixture(scope="module", params=["text", "number"])
def items(request, tmp_path_factory):
    """Items in memory, and the same in a mapped file of several blocks."""
    plain, folder = table(request.param), tmp_path_factory.mktemp("items")
    with pa.ipc.new_file(str(folder / ITEMS), plain.schema) as writer:
        writer.write_table(plain, max_chunksize=BLOCK)
    return plain, open_items(folder)


@given(rows=st.lists(st.integers(0, COUNT - 1), max_size=30))
def test_picked_rows_are_those_of_the_table_in_that_order(items, rows):
    plain, mapped = items
    assert mapped["item"].num_chunks > 1
    assert picked(mapped, np.array(rows, np.int64)).equals(plain.take(pa.array(rows, pa.int64())))


@given(rows=st.lists(st.integers(-1, COUNT - 1), max_size=30))
def test_keys_are_found_where_they_are(items, rows):
    plain, mapped = items
    known = plain["item"].take(pa.array([max(one, 0) for one in rows], pa.int64())).to_pylist()
    strange = "nothing" if isinstance(plain["item"][0].as_py(), str) else COUNT + 5
    keys = [strange if row < 0 else one for row, one in zip(rows, known, strict=True)]
    assert found(mapped, "item", pa.array(keys, plain.schema.field("item").type)).tolist() == rows
    assert found(mapped, "item", [*keys, None]).tolist() == [*rows, -1]


def test_of_a_mapped_file_no_more_than_the_rows_asked_for_is_held(items):
    plain, mapped = items
    before, rows = pa.total_allocated_bytes(), np.arange(0, COUNT, 600)
    mine = picked(mapped, rows)
    where = found(mapped, "item", mine["item"])
    assert pa.total_allocated_bytes() - before < plain.nbytes / 50
    assert where.tolist() == rows.tolist()


def test_keys_of_another_type_are_refused_and_no_item_is_found_in_none(items):
    _, mapped = items
    assert found(mapped.slice(0, 0), "item", mapped["item"].slice(0, 3)).tolist() == [-1, -1, -1]
    assert picked(mapped, np.zeros(0, np.int64)).num_rows == 0
    with pytest.raises(DataError, match="item keys of another type"):
        found(table("number", 9), "item", ["seven"])


def test_the_file_of_an_earlier_index_is_read_and_a_damaged_one_is_named(tmp_path):
    plain = table("text", 90)
    pq.write_table(plain, tmp_path / "items.parquet")
    assert open_items(tmp_path).equals(plain)
    (tmp_path / ITEMS).write_bytes(b"ARROW1 but not for long")
    with pytest.raises(BundleError, match="is damaged"):
        open_items(tmp_path)
