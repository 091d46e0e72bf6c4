import gc
import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from pyarrow import csv, fs

from polyrec.atomic import is_address
from polyrec.cli.files import check_output, only_rows_by_address
from polyrec.config import DataConfig, RunConfig
from polyrec.data import commas, listing, parquet, pieces, places
from polyrec.data.encode import Encoder
from polyrec.data.files import Source, expand
from polyrec.data.footers import Footers
from polyrec.data.listing import find
from polyrec.data.loader import Loader, Position
from polyrec.data.places import Address, few, mark, marks
from polyrec.data.ranged import Ranged
from polyrec.data.versions import check_same, known
from polyrec.data.vocabulary import Vocabulary
from polyrec.data.where import Between, Share
from polyrec.errors import ConfigError, DataError


class Counted(LocalFileSystem):
    """Local files below an address of its own: how many bytes are read, and what goes wrong."""

    protocol = "counted"
    read, fail = 0, {}

    @classmethod
    def _strip_protocol(cls, path):
        return LocalFileSystem._strip_protocol(str(path).replace("counted://", "file://"))

    def _open(self, path, mode="rb", **_):
        if (reason := Counted.fail.get("open")) is not None:
            raise reason
        return File(path)


class File(io.FileIO):
    def read(self, size=-1):
        if Counted.fail.get("reads", 0) > 0:
            Counted.fail["reads"] -= 1
            raise OSError("connection reset by peer")
        found = super().read(size)
        Counted.read += len(found)
        return found


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    fsspec.register_implementation("counted", Counted, clobber=True)
    Counted.read, Counted.fail = 0, {}
    monkeypatch.setattr(places, "WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(parquet, "_recent", parquet._Recent(parquet.KEPT))
    return Counted


@pytest.fixture
def logs(write, log, tmp_path):
    """Three files of a few row groups each, in two folders."""
    for number, (start, rows) in enumerate(((0, 300), (300, 450), (750, 250))):
        (tmp_path / f"day={number % 2}").mkdir(exist_ok=True)
        write(log.slice(start, rows), f"day={number % 2}/part-{number}.parquet", 90)
    return tmp_path


def pattern(kind, folder, monkeypatch):
    """The files' address of that kind."""
    if kind == "memory":
        system = fsspec.filesystem("memory")
        for path in folder.rglob("*.parquet"):
            system.pipe(f"/{folder.name}/{path.relative_to(folder)}", path.read_bytes())
        return f"memory://{folder.name}/day=*/part-*.parquet"
    if kind == "subtree":
        tree = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
        for module in (places, listing):
            monkeypatch.setattr(module, "system_of", lambda *_: (tree, ""))
        return "subtree://any/day=*/part-?.parquet"
    return f"{kind}://{folder}/day=*/part-*.parquet"


def numbers(source, column="row", **options):
    return [one for table in source.tables([column], **options) for one in table[column].to_pylist()]


@pytest.mark.parametrize("kind", ["file", "local", "memory", "counted", "subtree"])
def test_an_epoch_by_address_is_that_of_local_files(kind, logs, schema, monkeypatch):
    near = Source(expand([logs / "day=*" / "part-*.parquet"]))
    far = Source(expand([pattern(kind, logs, monkeypatch)]))
    assert [one.name for one in far.paths] == [one.name for one in near.paths]
    assert all(isinstance(one, Address) for one in far.paths)
    encoder = Encoder(schema, Vocabulary.fit(schema, near))
    for where in (Between("week", 2, 7), Share(0.2, 0.9, 3, "user")):
        one, two = (
            Loader(Source(found.paths, where), encoder, batch_size=64, shuffle_rows=250) for found in (near, far)
        )
        expected = list(one.epoch(3))
        for (place, left), (other, right) in zip(expected, two.epoch(3), strict=True):
            assert place == other
            assert left.ids.equal(right.ids)
            assert left.numerics.equal(right.numerics)
            assert left.labels.equal(right.labels)
        again = Source.from_dict(Source(far.paths, where).to_dict())  # as a process that goes on has it
        rest = [batch for _, batch in Loader(again, encoder, batch_size=64, shuffle_rows=250).epoch(3, Position(1, 2))]
        left = [batch for place, batch in expected if (place.window, place.batch) > (1, 2)]
        assert all(one.ids.equal(two.ids) for one, two in zip(left, rest, strict=True))


def test_csv_is_read_by_address_too(log, tmp_path):
    import polars as pl

    pl.DataFrame(log).write_csv(tmp_path / "log.csv")
    assert numbers(Source(expand([f"counted://{tmp_path}/*.csv"])), "item") == log["item"].to_pylist()


def test_only_the_columns_and_row_groups_asked_for_are_read(tmp_path, counted):
    rows = 40_000
    wide = {f"other {place}": np.random.default_rng(place).random(rows) for place in range(5)}
    table = pa.table({"row": np.random.default_rng(9).permutation(rows), "week": np.arange(rows) // 4_000, **wide})
    pq.write_table(table, tmp_path / "log.parquet", row_group_size=4_000, compression="none", use_dictionary=False)
    size = (tmp_path / "log.parquet").stat().st_size
    source = Source(expand([f"counted://{tmp_path}/log.parquet"])).open(columns=["week"])
    assert source.rows() == rows
    assert counted.read < 80_000 < size / 20  # footers
    part = source.filtered(Between("week", 7, 9))
    assert part.rows() == 8_000
    assert counted.read < 80_000  # known by their smallest and largest weeks
    before = counted.read
    assert sorted(numbers(part)) == sorted(table["row"].to_pylist()[28_000:36_000])
    assert 64_000 <= counted.read - before < 64_000 + 80_000 < size / 12  # 8 bytes a row, and the footer once more


def test_footers_are_read_once_whatever_is_asked_of_them(logs, monkeypatch):
    asked, real = [], pq.read_metadata
    monkeypatch.setattr(pq, "read_metadata", lambda file: asked.append(file) or real(file))
    monkeypatch.setattr(parquet, "_recent", parquet._Recent(0))
    told = []
    log = Source(expand([logs / "day=*" / "*.parquet"])).open(lambda *one: told.append(one), ["week"])
    parts = [log.filtered(Between("week", *bounds)) for bounds in ((None, 3), (3, 6), (6, None))]
    assert [len(part._verdicts) for part in parts] == [len(log.counts())] * 3
    assert len(asked) == 3
    assert told == [("reading footers", 3, 3)]
    assert log.filtered(Between("click", 3))._verdicts == (False,) * len(log.counts())
    assert len(asked) == 6  # of which nobody asked to keep the bounds
    assert sum(part.rows() for part in parts) == log.rows() == 1_000


def test_of_files_that_are_alike_one_schema_is_held(write, log):
    paths = [write(log.slice(number, 10), f"{number}.parquet") for number in range(40)]
    footers = Footers(paths)
    footers.open()
    assert len({id(one) for one in _schemas(paths)}) == 1
    assert not any(isinstance(getattr(footers.pieces[0], name), pq.FileMetaData) for name in ("path", "group", "rows"))


def test_footers_that_are_dropped_leave_memory_without_the_garbage_collector(write, log, monkeypatch):
    recent = parquet._Recent(1)
    monkeypatch.setattr(parquet, "_recent", recent)
    paths = [write(log.slice(number, 10), f"{number}.parquet") for number in range(3)]
    gc.disable()
    try:
        list(Source(tuple(paths)).tables(["row"]))
        assert len(recent._held) == 1
        footer = next(iter(recent._held.values()))
        assert sys.getrefcount(footer) == 3  # the dictionary's, this one's and the call's: no schema holds it
    finally:
        gc.enable()


def _schemas(paths):
    from polyrec.data.footers import _Look

    look = _Look((), ())
    return [look(path).schema for path in paths]


def test_bounds_of_a_part_of_a_file_are_its_own(write, log):
    from polyrec.data.slices import Slice

    path = write(log, group=100)
    part = Slice((path,), whole=Source((path,))._schema, groups=(3, 6)).filtered(Between("week", 4))
    weeks = log["week"].to_pylist()
    assert numbers(part) == [row for row in range(300, 600) if weeks[row] >= 4]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("memory://none/log.parquet", r"memory://none/log\.parquet does not exist\. Check the address"),
        ("memory://none/day=*/log.parquet", "matches no file"),
        ("memory://none/a%20b.parquet", "without %-codes"),
        ("memory://*/log.parquet", "a pattern can stand for folders and files, not for"),
        ("nosuch://bucket/log.parquet", "nothing reads 'nosuch' addresses. Known: file, s3, "),
        ("lacking://bucket/log.parquet", r"needs a package that is not installed: Install no-such-package\."),
        ("s3://key:secret@bucket/log.parquet", r"s3://\.\.\.@bucket/log.parquet holds a password"),
        ("s3://bucket/log.parquet?regoin=eu-west-1", "is no address: .*regoin.* Check its form and its options"),
    ],
)
def test_an_address_without_a_file_is_refused(address, words):
    fsspec.register_implementation("lacking", "no_such_module.System", True, "Install no-such-package")
    with pytest.raises(DataError, match=words) as told:
        expand([address])
    assert "secret" not in str(told.value)


def test_a_folder_by_its_address_is_refused(logs):
    with pytest.raises(DataError, match=r"is a folder; name the files in it, for example file://.*/day=0/\*\.parquet"):
        expand([f"file://{logs}/day=0"])


def test_what_may_not_be_read_says_whose_right_is_missing(logs, counted):
    source = Source(expand([f"counted://{logs}/day=0/*.parquet"]))
    counted.fail["open"] = PermissionError("Access Denied")
    with pytest.raises(DataError, match=r"part-0\.parquet may not be read .*Access Denied.* credentials from the env"):
        source.rows()


def test_a_host_that_has_no_name_is_no_matter_of_rights():
    reason = OSError("google::cloud::Status(UNAVAILABLE: Could not get access token: Could not resolve host: x.org)")
    assert "cannot be reached" in str(places.trouble("gs://bucket/a.parquet", reason))


def test_a_connection_that_breaks_is_tried_again_from_the_next_row(logs, log, counted, monkeypatch):
    monkeypatch.setattr(pieces, "BLOCK", 40)
    source = Source(expand([f"counted://{logs}/day=*/*.parquet"]))
    whole = numbers(source)
    assert sorted(whole) == log["row"].to_pylist()
    found = []
    for table in source.tables(["row"]):
        found += table["row"].to_pylist()
        if len(found) % 120 == 0:
            counted.fail["reads"] = 2
    assert found == whole
    counted.fail["reads"] = 3
    assert sorted(numbers(Source(expand([f"counted://{logs}/day=*/*.parquet"])))) == sorted(whole)  # footers too
    counted.fail["reads"] = 100
    with pytest.raises(DataError, match=r"cannot be reached .*connection reset.* run the same command again, fit with"):
        numbers(source)


def test_a_stream_that_breaks_off_half_way_goes_on_where_it_was():
    tries = []

    def read():
        tries.append(len(tries))
        yield pa.table({"x": [0, 1]})
        yield pa.table({"x": [2, 3]})
        if len(tries) < 3:
            raise OSError("timed out")
        yield pa.table({"x": [4]})

    rows = [one for table in pieces.patiently(read, Address("s3://b/log")) for one in table["x"].to_pylist()]
    assert rows == [0, 1, 2, 3, 4]
    assert len(tries) == 3


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_file_that_changes_while_its_connection_breaks_is_refused(tmp_path, counted, monkeypatch, kind, listed):
    monkeypatch.setattr(commas, "_BYTES", 500)

    def write(first):
        table = pa.table({"row": range(first, first + 40_000)})
        if kind == "csv":
            csv.write_csv(table, path)  # one stream; of parquet each row group is one
        else:
            pq.write_table(table, path, row_group_size=10_000)

    path = tmp_path / f"log.{kind}"
    write(100_000)
    address = f"counted://{path}"
    source = Source(expand([address]) if listed else (Address(address),))
    tables = source.tables(["row"])
    found = next(tables)["row"].to_pylist()
    write(500_000)  # as many rows, and in CSV as many bytes
    os.utime(path, ns=(1, 1))
    counted.fail["reads"] = 1
    with pytest.raises(DataError, match=rf"log\.{kind} changed while it was read\. Run the same command again"):
        found += [one for table in tables for one in table["row"].to_pylist()]
    assert found == list(range(100_000, 100_000 + len(found)))


def test_a_file_that_does_not_read_since_it_changed_is_called_so(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("row\n1\n2\n", encoding="utf-8")
    source = Source(expand([f"counted://{path}"]))
    assert source.rows() == 2
    path.write_text("row\nmany\n", encoding="utf-8")
    with pytest.raises(DataError, match="changed while it was read") as told:
        numbers(source)
    assert "many" in str(told.value.__cause__)


def test_versions_are_told_apart_by_size_and_by_the_second(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("row\n1\n", encoding="utf-8")
    os.utime(path, ns=(0, 5_100_000_000))
    address = f"file://{path}"
    for size, changed in ((6, 5_900_000_000), (None, 5_000_000_000), (6, None)):
        check_same(Address(address, size, changed))
    for size, changed in ((6, 6_000_000_000), (7, 5_100_000_000), (7, None)):
        with pytest.raises(DataError, match="changed while it was read"):
            check_same(Address(address, size, changed))
    assert mark(known(Address(address))) == (6, 5_100_000_000)
    assert known(path) is path


def test_what_a_system_remembers_of_a_file_is_not_asked(tmp_path):
    held = {}

    class Remembering(Counted):
        protocol = "remembering"

        def info(self, path, **_):
            return held.setdefault(path, super().info(path))

        def invalidate_cache(self, path=None):
            held.clear()

    system = fs.PyFileSystem(Ranged(Remembering()))
    path = tmp_path / "log.csv"
    sizes = []
    for text in ("x", "xyz"):
        path.write_text(text, encoding="utf-8")
        sizes.append(system.get_file_info([str(path)])[0].size)
    assert sizes == [1, 3]


def test_a_damaged_file_by_its_address_is_called_so(tmp_path):
    (tmp_path / "log.parquet").write_bytes(b"PAR1" + bytes(200))
    with pytest.raises(DataError, match=r"log\.parquet cannot be read as parquet: .* write the file again"):
        Source(expand([f"counted://{tmp_path}/log.parquet"])).rows()


def test_two_stars_stand_for_any_folders_and_names_are_in_order(tmp_path):
    names = ["a-b/1.csv", "a/2.csv", "a/b/c/3.csv", "4.csv", "a/b/c/5.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n1\n", encoding="utf-8")
    far = [str(one).removeprefix(f"file://{tmp_path}/") for one in find(f"file://{tmp_path}/**/*.csv")]
    assert far == [str(one.relative_to(tmp_path)) for one in expand([tmp_path / "**" / "*.csv"])]
    assert far == ["4.csv", "a/2.csv", "a/b/c/3.csv", "a-b/1.csv"]
    assert [one.name for one in find(f"file://{tmp_path}/a/**")] == ["2.csv", "3.csv", "5.txt"]
    assert [one.name for one in find(f"file://{tmp_path}/a*/[12].csv")] == ["2.csv", "1.csv"]


def test_a_query_belongs_to_each_file_and_a_mark_of_a_pattern_does_not():
    assert places.parse("s3://b/day=?/x?.csv?region=eu&scheme=http") == (
        "s3",
        "b",
        "day=?/x?.csv",
        "?region=eu&scheme=http",
    )
    assert places.parse("s3://b/x-?.csv")[2:] == ("x-?.csv", "")
    assert places.parse("http://host/x.csv?version=2")[2:] == ("x.csv?version=2", "")


@pytest.mark.parametrize("kind", ["local", "file", "memory"])
def test_a_file_that_changed_has_another_mark(kind, logs, monkeypatch):
    where = pattern(kind, logs, monkeypatch)
    before = marks(expand([where]))
    assert before == marks(expand([where])) == marks([Address(str(one)) for one in expand([where])])
    path = logs / "day=0" / "part-0.parquet"
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))
    pattern(kind, logs, monkeypatch)
    assert sum(before[name] != told for name, told in marks(expand([where])).items()) >= 1


def test_marks_of_many_files_are_one_line(tmp_path):
    paths = [tmp_path / str(number) for number in range(12)]
    for path in paths:
        path.write_text("x", encoding="utf-8")
    (line,) = marks(paths, most=10).values()
    assert line.startswith("12, of names")
    os.utime(paths[7], ns=(1, 1))
    assert [line] != list(marks(paths, most=10).values())
    assert mark(paths[7]) == (1, 1)
    with pytest.raises(DataError, match="does not exist"):
        mark(Address(f"file://{tmp_path}/none"))


def test_few_names_stand_for_many():
    assert few([Path("a"), Path("b")]) == "a, b"
    assert few(list("abcdef")) == "a, b, c ... (6 files)"


def test_a_run_file_keeps_addresses_and_roots_paths(tmp_path):
    data = DataConfig(schema="schema.toml", log=("s3://bucket/day=*/*.parquet", "log.parquet"))
    rooted = RunConfig("mmoe", data).rooted(tmp_path).data
    assert rooted.log == ("s3://bucket/day=*/*.parquet", str(tmp_path / "log.parquet"))
    assert rooted == replace(data, schema=str(tmp_path / "schema.toml"), log=rooted.log)
    with pytest.raises(Exception, match="only rows are read by one"):
        DataConfig(schema="s3://bucket/schema.toml", log=("log.parquet",))


def test_addresses_are_refused_where_something_is_written():
    with pytest.raises(ConfigError, match=r"s3:/bucket/run is an address\. Rows are read by one"):
        only_rows_by_address(lambda **_: None)(out=Path("s3://bucket/run"), data=["s3://bucket/log.parquet"])
    only_rows_by_address(lambda **_: None)(out=Path("run"), data=["s3://bucket/log.parquet"])
    check_output(Path("P.parquet"), [Address("s3://bucket/log.parquet")])
    assert not is_address(Path("C:/log"))
    assert not is_address("logs/s3://x")
