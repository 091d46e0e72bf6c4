import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyrec.data import files
from polyrec.data.files import Source, expand
from polyrec.data.where import Between, Share
from polyrec.errors import DataError


def values(source, column="row", **options):
    return [one for table in source.tables([column], **options) for one in table[column].to_pylist()]


def test_patterns_give_each_file_once_in_order_of_name(write, tmp_path):
    for name in ("b.parquet", "a.parquet"):
        write({"x": [1]}, name)
    assert expand([tmp_path / "*.parquet", tmp_path / "a.parquet"]) == (tmp_path / "a.parquet", tmp_path / "b.parquet")


def test_a_file_whose_name_looks_like_a_pattern_is_found(write, tmp_path):
    path = write({"x": [1]}, "day[1].parquet")
    assert expand([path]) == (path,)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("no.parquet", "does not exist"), ("no-*.parquet", "matches no file"), (".", "is a folder; name the files in it")],
)
def test_a_path_without_a_file_is_refused(pattern, words, tmp_path):
    with pytest.raises(DataError, match=words):
        expand([tmp_path / pattern])


def test_no_path_at_all_is_refused():
    with pytest.raises(DataError, match="no file is named"):
        expand([])


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match=r"gone\.parquet does not exist"):
        Source((Path("gone.parquet"),)).columns()
    with pytest.raises(DataError, match=r"gone\.csv does not exist"):
        Source((Path("gone.csv"),)).columns()


def test_a_truncated_file_says_to_write_it_again(write, log):
    path = write(log)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"log\.parquet cannot be read as parquet: .* write the file again"):
        Source((path,)).rows()


def test_a_file_damaged_inside_says_so_when_it_is_read(write, log):
    path = write(log)
    whole = bytearray(path.read_bytes())
    whole[4:400] = bytes(396)
    path.write_bytes(whole)
    with pytest.raises(DataError, match="cannot be read as parquet"):
        list(Source((path,)).tables(["row", "user"]))


def test_an_empty_file_is_refused(tmp_path):
    for name, words in (("a.parquet", "is empty"), ("a.csv", "is empty")):
        (tmp_path / name).touch()
        with pytest.raises(DataError, match=words):
            Source((tmp_path / name,)).columns()


def test_a_file_without_rows_is_refused(write, log):
    with pytest.raises(DataError, match=r"log\.parquet: no rows"):
        Source((write(log.slice(0, 0)),)).rows()


def test_every_missing_column_is_named_with_its_nearest(source):
    with pytest.raises(DataError, match=r"lacks 2 .*(?s:.*)'prise' .*Did you mean 'price'\?(?s:.*)'usr'.*'user'"):
        list(source.tables(["prise", "usr"]))


def test_two_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,x\n1,2\n")
    with pytest.raises(DataError, match="more than one column 'x'"):
        Source((tmp_path / "a.csv",)).columns()


def test_files_with_other_columns_are_refused(write):
    paths = (write({"x": [1], "y": [1]}, "a.parquet"), write({"x": [1]}, "b.parquet"))
    with pytest.raises(DataError, match=r"b\.parquet and .*a\.parquet differ in columns: y"):
        Source(paths).columns()


def test_files_with_types_that_do_not_go_together_are_refused(write):
    paths = (write({"x": [1]}, "a.parquet"), write({"x": ["1"]}, "b.parquet"))
    with pytest.raises(DataError, match=r"column 'x' has type int64 in .*a\.parquet and string in .*b\.parquet"):
        Source(paths).columns()


def test_files_with_integers_of_several_widths_are_read_as_the_widest(write):
    narrow = write({"row": pa.array([1], pa.int8())}, "a.parquet")
    wide = write({"row": pa.array([2**40], pa.int64())}, "b.parquet")
    source = Source((narrow, wide))
    assert source.columns() == {"row": pa.int64()}
    assert values(source) == [1, 2**40]


def test_columns_in_another_order_are_the_same_columns(write):
    paths = (write({"x": [1], "row": [2]}, "a.parquet"), write({"row": [4], "x": [3]}, "b.parquet"))
    assert values(Source(paths)) == [2, 4]


def test_rows_come_in_the_order_of_the_files(write, log):
    source = Source((write(log.slice(500), "a.parquet", 100), write(log.slice(0, 500), "b.parquet", 77)))
    assert values(source) == [*range(500, 1000), *range(500)]
    assert source.rows() == 1000


def test_a_condition_keeps_its_rows_and_counts_them(source, log):
    weeks = log["week"].to_pylist()
    part = source.filtered(Between("week", 3, 7))
    assert values(part) == [row for row, week in enumerate(weeks) if 3 <= week < 7]
    assert part.rows() == len(values(part))


def test_row_groups_outside_the_condition_are_not_read(source, monkeypatch):
    read = []
    real = files.read_piece
    monkeypatch.setattr(files, "read_piece", lambda piece, *rest: read.append(piece.group) or real(piece, *rest))
    part = source.filtered(Between("week", 8))
    assert part.rows() == len(values(part)) > 0
    assert set(read) <= {6, 7}


@pytest.mark.parametrize("where", [None, Between("week", 2, 8), Share(0.2, 0.7, 3), Share(0.2, 0.7, 3, "user")])
def test_starting_at_a_row_gives_the_rest_of_the_stream(source, where):
    part = Source(source.paths, where)
    whole = values(part)
    assert len(whole) == part.rows()
    for start in (0, 1, 129, 130, 131, part.rows() - 1, part.rows()):
        assert values(part, start_row=start) == whole[start:]


def test_texts_come_as_dictionaries(source):
    assert all(pa.types.is_dictionary(table["item"].type) for table in source.tables(["item"]))


def test_pandas_categories_are_texts(write):
    path = write({"row": pa.array(["a", "b"]).dictionary_encode()})
    assert Source((path,)).columns() == {"row": pa.string()}
    assert values(Source((path,))) == ["a", "b"]


def test_a_lazy_frame_holds_the_same_rows(source, log):
    import polars as pl

    frame = source.filtered(Between("week", 3, 7)).scan()
    expected = pl.DataFrame(log).filter(pl.col("week").is_between(3, 6))
    assert frame.collect().equals(expected)
    assert (
        frame.select("item", "row")
        .filter(pl.col("row") > 400)
        .head(5)
        .collect()
        .equals(expected.select("item", "row").filter(pl.col("row") > 400).head(5))
    )
    clicks = frame.group_by("tab").agg(pl.col("click").sum()).sort("tab").collect(engine="streaming")
    assert clicks.equals(expected.group_by("tab").agg(pl.col("click").sum()).sort("tab"))


def test_a_source_survives_json(source):
    part = source.filtered(Share(0.0, 0.5, 1, "user"))
    again = Source.from_dict(part.to_dict())
    assert again == part
    assert values(again) == values(part)
    assert Source.from_dict(source.to_dict()) == source


def test_csv_gives_the_same_rows_as_parquet(write, log, tmp_path):
    import polars as pl

    pl.DataFrame(log).write_csv(tmp_path / "log.csv")
    one, two = Source((tmp_path / "log.csv",), Between("week", 2, 5)), Source((write(log),), Between("week", 2, 5))
    for name in ("row", "item", "week", "click"):
        assert values(one, name) == values(two, name)
    assert one.rows() == two.rows()
    assert values(one, start_row=7) == values(two)[7:]


@pytest.mark.parametrize(("sign", "told"), [(";", "';'"), ("|", r"'\|'"), ("\t", r"'\\t'")])
def test_values_parted_by_another_sign_than_the_names_are_told(tmp_path, sign, told):
    path = tmp_path / "a.csv"
    path.write_text(f"row{sign}x\n1{sign}2\n")
    with pytest.raises(DataError, match=rf"would be one column, .*parted by {told}\. Part them by commas"):
        Source((path,)).columns()
    path.write_text("row\n1\n")
    assert list(Source((path,)).columns()) == ["row"]


def test_a_compressed_file_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(DataError, match=r"a\.csv\.gz is compressed\. Unpack it, for example with gzip -d"):
        expand([tmp_path / "*.gz"])


def test_csv_reads_nothing_between_commas_as_null(tmp_path):
    (tmp_path / "a.csv").write_text("row,x,late\n1,,\n2,NA,\n")
    source = Source((tmp_path / "a.csv",))
    assert values(source, "x") == [None, "NA"]
    assert values(source, "late") == [None, None]


@pytest.mark.parametrize("first", ["a.csv", "b.csv"])
def test_a_csv_column_without_values_takes_its_type_from_other_files(write, tmp_path, first):
    (tmp_path / first).write_text("row,x,late,many\n1,,,\n")
    other = "b.csv" if first == "a.csv" else "a.csv"
    (tmp_path / other).write_text("row,x,late,many\n2,7,,\n")
    kept = write({"row": [3], "x": [8], "late": pa.array([None], pa.null()), "many": [[1.0, 2.0]]}, "c.parquet")
    source = Source((tmp_path / "a.csv", tmp_path / "b.csv", kept))
    assert source.columns()["x"] == pa.int64()
    assert source.columns()["late"] == pa.string()
    assert sorted(values(source, "x"), key=str) == [7, 8, None]
    assert values(source, "many") == [None, None, [1.0, 2.0]]


def test_csv_that_is_not_utf8_says_how_to_convert_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("row,name\n1,M\xfcller\n".encode("latin1"))
    with pytest.raises(DataError, match=r"a\.csv is not UTF-8 .*iconv"):
        list(Source((path,)).tables(["name"]))


def test_csv_that_turns_latin_later_says_so_too(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"row,name\n" + b"1,abcdefgh\n" * 900_000 + "2,M\xfcller\n".encode("latin1"))
    with pytest.raises(DataError, match=r"a\.csv is not UTF-8"):
        list(Source((path,)).tables(["name"]))


def test_csv_with_a_value_unlike_its_column_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("row\n" + "1\n" * 4_500_000 + "many\n")
    with pytest.raises(DataError, match=re.compile(r"a\.csv cannot be read as CSV: .*many.*parquet")):
        list(Source((path,)).tables(["row"]))


def test_tabs_part_the_columns_of_a_tsv(tmp_path):
    (tmp_path / "a.tsv").write_text("row\tx\n5\ty\n")
    assert values(Source((tmp_path / "a.tsv",))) == [5]


def test_a_changed_file_is_read_anew(write):
    path = write({"row": [1, 2]})
    assert Source((path,)).rows() == 2
    pq.write_table(pa.table({"row": [1, 2, 3]}), path)
    assert Source((path,)).rows() == 3


def test_two_columns_of_one_name_in_a_later_file_are_refused_too(tmp_path):
    (tmp_path / "a.csv").write_text("row,x\n1,2\n")
    (tmp_path / "b.csv").write_text("row,x,x\n1,2,3\n")
    with pytest.raises(DataError, match=r"b\.csv has more than one column 'x'"):
        Source(expand([tmp_path / "*.csv"])).columns()


def test_one_file_under_two_spellings_is_read_once(write, tmp_path):
    (tmp_path / "in").mkdir()
    path = write({"row": [1]})
    assert len(expand([path, path.parent / "in" / ".." / path.name])) == 1


def test_csv_keeps_the_zeros_of_ids_of_a_fixed_width(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("store,price,none\n007,0.5,0\n7,-0.25,-1\n12,0,10\n", encoding="utf-8")
    (table,) = Source((path,)).tables()
    assert table.to_pydict() == {"store": ["007", "7", "12"], "price": [0.5, -0.25, 0.0], "none": [0, -1, 10]}


def test_csv_columns_that_are_text_are_read_so(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("seen,item\n3,1\n5,2\n", encoding="utf-8")
    source = Source((path,)).as_text(["seen", "elsewhere"])
    (table,) = Source.from_dict(source.to_dict()).tables()
    assert table.to_pydict() == {"seen": ["3", "5"], "item": [1, 2]}


def test_csv_and_parquet_of_other_widths_are_one_stream(write, tmp_path):
    (tmp_path / "a.csv").write_text("row,tab,price\n1,home,0.5\n2,,1\n")
    kept = write(
        {"row": pa.array([3], pa.int8()), "tab": ["cart"], "price": pa.array([2.5], pa.float32())}, "b.parquet"
    )
    for paths in ((tmp_path / "a.csv", kept), (kept, tmp_path / "a.csv")):
        whole = pa.concat_tables(list(Source(paths).tables()))
        assert sorted(whole["row"].to_pylist()) == [1, 2, 3]
        assert set(whole["tab"].to_pylist()) == {"home", None, "cart"}
        assert whole.schema.field("price").type == pa.float64()
