"""Blocks of text files: the same rows whatever the size of a block."""

import gzip
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.data.named.lines import tables
from polyrec.data.named.parts import Parts
from polyrec.errors import DataError

KINDS = {"a": pl.Int64, "b": pl.String}
words = st.text(st.characters(codec="utf-8", exclude_characters="\r\n:\x1f", exclude_categories=("Cs",)), max_size=5)


@given(
    rows=st.lists(st.tuples(st.integers(-(2**62), 2**62), words.filter(bool)), min_size=1, max_size=20),
    size=st.integers(1, 60),
    last=st.sampled_from(["", "\n", "\n\n"]),
    zipped=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_rows_are_the_same_in_blocks_of_any_size(rows, size, last, zipped, tmp_path_factory):
    text = "\n".join(f"{a}::{b}" for a, b in rows) + last
    path = tmp_path_factory.mktemp("lines") / ("file.dat.gz" if zipped else "file.dat")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    read = pl.concat(tables(path, KINDS, separator="::", size=size))
    assert read.rows() == rows


def test_a_header_may_name_its_columns_in_any_order_and_more_than_are_wanted(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xef\xbb\xbfb,c,a\r\nx,,1\r\ny,2.5,\r\n")
    read = pl.concat(tables(path, KINDS | {"c": pl.Float64}, header=True, size=4))
    assert read.rows() == [(1, "x", None), (None, "y", 2.5)]


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("a,c\n1,2\n")
    with pytest.raises(DataError, match=r"has no column b. Its first line names: a, c"):
        list(tables(path, KINDS, header=True))


@pytest.mark.parametrize("size", [8, 2**20])
def test_a_bad_value_is_named_by_its_line_in_the_file(tmp_path, size):
    path = tmp_path / "log.csv"
    path.write_text("".join(f"{row},x\n" for row in range(50)) + "1.5,x\n")
    with pytest.raises(DataError, match=r"line 51: a = '1.5' is not a whole number"):
        list(tables(path, KINDS, size=size))


def test_a_cut_off_archive_is_named(tmp_path):
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(b"1,x\n" * 1000)[:-20])
    with pytest.raises(DataError, match=r"cannot be read: .*cut off"):
        list(tables(path, KINDS))


def test_a_null_word_and_an_empty_field_are_null(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("?,x\n,?\n")
    assert pl.concat(tables(path, KINDS, null="?")).rows() == [(None, "x"), (None, None)]


@given(lengths=st.lists(st.integers(0, 23), min_size=1, max_size=8), group=st.integers(1, 11))
@settings(max_examples=40, deadline=None)
def test_parts_keep_the_order_in_equal_row_groups(lengths, group, tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("parts")
    frame = pl.DataFrame({"n": range(sum(lengths)), "tab": ["x"] * sum(lengths)})
    at = 0
    with Parts(folder, "tab", [], group) as parts:
        for length in lengths:
            parts.add("log", frame.slice(at, length))
            at += length
    assert parts.rows == at
    if at:
        import pyarrow.parquet as pq

        file = pq.ParquetFile(folder / "log.parquet")
        assert file.read()["n"].to_pylist() == list(range(at))
        sizes = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
        assert all(size == group for size in sizes[:-1])
        assert sizes[-1] <= group
