"""Parts of the training rows, counted apart in any order and twice, say what one pass says, bit for bit."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import csv

from polyrec.cluster.count import Worker, counting, items
from polyrec.cluster.count import given as for_workers
from polyrec.cluster.deal import in_order
from polyrec.cluster.parts import Part, parts
from polyrec.data import runs
from polyrec.data import sample as sampling
from polyrec.data.counted import Counted
from polyrec.data.files import Source, expand
from polyrec.data.fit import find
from polyrec.data.gathered import Gathered
from polyrec.data.places import Address
from polyrec.data.slices import cut
from polyrec.data.spill import MEMORY, Space
from polyrec.data.vocabulary import Vocabulary
from polyrec.data.where import Between, Share
from polyrec.errors import DataError, NotReadyError
from polyrec.schema import Feature, Keys, Schema, Task

TINY = "0.006"  # 1,000 bytes of values
SCHEMA = Schema(
    Keys("tab", user="user", time="week"),
    (
        Feature("word", "categorical"),
        Feature("number", "categorical", min_count=2),
        Feature("seen", "sequence", shares="word"),
        Feature("bucket", "categorical", hash=7),
        Feature("price", "numeric"),
        Feature("plain", "numeric", transform="none"),
        Feature("age", "numeric", transform="standard"),
        Feature("rank", "numeric", transform="quantile"),
        Feature("where", "vector", size=2),
    ),
    (Task("click", "click"),),
)


pytestmark = pytest.mark.usefixtures("temporary")


def log(rows, seed):
    random = np.random.default_rng(seed)
    words = np.array([f"é{one}" for one in random.zipf(1.3, rows) % 90], object)
    words[random.random(rows) < 0.1] = None
    prices = random.lognormal(size=rows) * 0.1
    prices[random.random(rows) < 0.1] = np.nan
    return pa.table(
        {
            "tab": random.choice(["a", "b", "c"], rows),
            "user": random.integers(0, 40, rows),
            "week": random.integers(0, 9, rows),
            "word": pa.array(words, pa.string()),
            "number": pa.array(random.integers(-9, 60, rows), mask=random.random(rows) < 0.2),
            "seen": [
                " ".join(f"é{one}" for one in random.integers(0, 99, size)) for size in random.integers(0, 4, rows)
            ],
            "bucket": random.integers(0, 1000, rows),
            "price": pa.array(prices, mask=random.random(rows) < 0.1),
            "plain": random.normal(size=rows),
            "age": random.normal(size=rows) / 3 + 1e6,
            "rank": pa.array(random.normal(size=rows), mask=random.random(rows) < 0.3),
            "where": [f"{one:.3f}|{one / 3:.3f}" for one in random.random(rows)],
            "click": random.integers(0, 2, rows),
        }
    )


def written(folder, sizes, seed):
    """Files of both kinds, in row groups of their own sizes."""
    paths = []
    for number, (rows, group) in enumerate(sizes):
        table, name = log(rows, seed + number), folder / f"{number}"
        if rows and number % 3 == 1:
            paths.append(name.with_suffix(".csv"))
            csv.write_csv(table, paths[-1])
        else:
            paths.append(name.with_suffix(".parquet"))
            pq.write_table(table, paths[-1], row_group_size=group)
    return Source(tuple(paths)).as_text(["seen", "where"])


def dealt(monkeypatch, order, twice=()):
    """Parts counted without Ray, in an order, some of them once more by another worker."""

    def deal(ray, parts, worker, given_, workers):
        places = sorted(range(len(parts)), key=lambda place: order[place % len(order)])
        one, other = worker(*given_), worker(*given_)
        done = [one(dict(parts[place])) for place in places]
        yield from done
        folder, was = Path(given_[2]), {told["number"]: told for told in done}
        for place in twice:
            again = parts[place % len(parts)]
            kept = folder / str(again["number"]) / "part.json"
            before = kept.read_text()
            assert other(dict(again)) == was[again["number"]]  # tried again after a death: it is there
            other._keep(Gathered(SCHEMA, Space(), 0), kept.parent)  # by a worker that was thought dead
            assert kept.read_text() == before
        assert all(path.name.isdigit() for path in folder.iterdir())

    monkeypatch.setattr("polyrec.cluster.count.deal", deal)


def exact(vocabulary):
    """Everything, floats by their digits."""
    values = {name: (one.kind, one.buckets, one.array().to_pylist()) for name, one in vocabulary.values.items()}
    return vocabulary.scenarios, vocabulary.rows, values, {name: repr(one) for name, one in vocabulary.numbers.items()}


WHERE = st.sampled_from(
    [None, Between("week", None, 5), Between("week", 7), Share(0.0, 0.7, 3), Share(0.3, 1.0, 1, "user")]
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.tuples(st.integers(0, 80), st.integers(9, 60)), min_size=1, max_size=3),
    where=WHERE,
    least=st.integers(1, 150),
    order=st.permutations(range(7)),
    seed=st.integers(0, 99),
    memory=st.sampled_from([TINY, "1000"]),
)
@example([(1, 9)], None, 150, [0], 0, "1000")  # a CSV file of one row without a number
def test_parts_say_what_one_pass_says(tmp_path_factory, sizes, where, least, order, seed, memory):
    folder = tmp_path_factory.mktemp("log")
    source = written(folder, [(90, 33), *sizes], seed)
    source = source if where is None else source.filtered(where)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "SIZE", 64)
        patch.setenv(MEMORY, "1000")
        whole = exact(Vocabulary.fit(SCHEMA, source))
        patch.setenv(MEMORY, memory)
        patch.setattr(runs, "BLOCK", 300)  # few runs are so small that they are read at once
        lent = []
        lend = Counted.lend
        patch.setattr(Counted, "lend", lambda *given: lent.append(given) or lend(*given))
        dealt(patch, order, twice=order[:2])
        found = Vocabulary.fit(SCHEMA, source, None, counting(None, folder / "counts", 2, least))
        assert exact(found) == whole
        assert bool(lent) == (memory == TINY)
        del found


def test_a_part_is_row_groups_that_follow_each_other_over_files(tmp_path):
    source = written(tmp_path, [(100, 30), (50, 50), (0, 10), (75, 20)], 0)
    parts = list(cut(source, 60))
    assert [(one.rows(), [path.name for path in one.paths], one.groups, one.first) for one in parts] == [
        (60, ["0.parquet"], (0, 2), 0),
        (90, ["0.parquet", "1.csv"], (2, -1), 60),
        (60, ["3.parquet"], (0, 3), 150),
        (15, ["3.parquet"], (3, 4), 210),
    ]
    assert [told["before"] for told in items(parts)] == [0, 60, 150, 210]
    late = list(cut(source.filtered(Share(0.9999, 1.0, 5)), 1))
    assert sum(one.rows() for one in late) == source.filtered(Share(0.9999, 1.0, 5)).rows()


@settings(max_examples=20, deadline=None)
@given(
    named=st.lists(st.integers(0, 2), min_size=1, max_size=6),
    groups=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    least=st.integers(1, 30),
)
@example([0, 0, 1, 0, 2, 2], [3, 9, 9], 2)
def test_a_file_that_is_named_again_is_cut_again(tmp_path_factory, named, groups, least):
    folder = tmp_path_factory.mktemp("named")
    paths = [folder / "0.parquet", folder / "1.parquet", folder / "2.csv"]
    tables = [pa.table({"row": range(10 * number, 10 * number + 7)}) for number in range(3)]
    for path, table, group in zip(paths, tables, groups, strict=True):
        csv.write_csv(table, path) if path.suffix == ".csv" else pq.write_table(table, path, row_group_size=group)
    parts = list(cut(Source(tuple(paths[one] for one in named)), least))
    found = [table["row"].to_pylist() for one in parts for table in one.tables()]
    assert [row for rows in found for row in rows] == [row for one in named for row in tables[one]["row"].to_pylist()]
    assert [one.first for one in parts] == np.cumsum([0, *(one.rows() for one in parts)])[:-1].tolist()


class Asked(LocalFileSystem):
    """Local files below an address of their own, and how often somebody asks about one."""

    protocol = "asked"
    times = 0

    @classmethod
    def _strip_protocol(cls, path):
        return LocalFileSystem._strip_protocol(str(path).replace("asked://", "file://"))

    def info(self, path, **options):
        Asked.times += 1
        return super().info(path, **options)


def test_workers_know_sizes_and_versions_and_ask_for_none(tmp_path):
    fsspec.register_implementation("asked", Asked, clobber=True)
    written(tmp_path, [(100, 30), (50, 50), (75, 20)], 0)
    source = Source(expand([f"asked://{tmp_path}/*"])).as_text(["seen", "where"])
    schema, near = pa.schema(list(source.columns().items())), tmp_path / "counts"
    near.mkdir()
    slices = list(cut(source, 60))
    scored = list(parts(source.paths, schema, 60))
    Asked.times = 0
    worker = Worker(*for_workers(SCHEMA, slices, near))
    told = [worker(json.loads(json.dumps(one))) for one in items(slices)]
    assert not any(one["error"] for one in told), told
    assert sum(one["rows"] for one in told) == 225
    for one in scored:
        part = Part(**json.loads(json.dumps(asdict(one))))
        assert sum(table.num_rows for table in part.rows(schema, source.texts).tables()) > 0
    assert Asked.times == 0
    far = [Address(path.text) for path in source.paths]  # of which nothing is known: asked once a file
    assert Source(tuple(far)).as_text(["seen", "where"]).rows() == 225
    assert Asked.times == 3


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("bucket", [1.5] * 200, "feature 'bucket'"),
        ("price", [None] * 200, "feature 'price' is null, NaN or infinite in all 200 training rows"),
        ("tab", ["a"] * 199 + [None], "scenario column 'tab' is null in 1 of 200 training rows"),
        ("where", [[1.0, 2.0, 3.0]] * 200, "feature 'where' has a vector of 3 numbers"),
        ("seen", [[1, 2]] * 200, "feature 'seen', which shares the ids of feature 'word', holds integers"),
        ("word", None, "the log lacks 1 of the columns"),
    ],
)
def test_errors_are_those_of_one_process(tmp_path, monkeypatch, name, values, message):
    table = log(200, 0)
    table = (
        table.drop_columns([name])
        if values is None
        else table.set_column(
            table.column_names.index(name), name, pa.array(values, pa.float64() if name == "price" else None)
        )
    )
    pq.write_table(table, tmp_path / "log.parquet", row_group_size=40)
    source, said = Source((tmp_path / "log.parquet",)), []

    def in_answers(ray, parts, worker, given_, workers):
        one = worker(*given_)
        yield from in_order((one(dict(part)) for part in reversed(parts)), range(len(parts)))

    monkeypatch.setattr("polyrec.cluster.count.deal", in_answers)
    for how in (find, counting(None, tmp_path / "counts", 2, 50)):
        with pytest.raises(DataError) as raised:
            Vocabulary.fit(SCHEMA, source, None, how)
        said.append(str(raised.value))
    assert said[0] == said[1]
    assert message in said[0]


def test_no_rows_are_told_as_in_one_process(tmp_path, monkeypatch):
    source = written(tmp_path, [(50, 20)], 0).filtered(Between("week", 99))
    dealt(monkeypatch, [0])
    for how in (find, counting(None, tmp_path / "counts", 2)):
        with pytest.raises(DataError, match=r"no training rows\. Check the split"):
            Vocabulary.fit(SCHEMA, source, None, how)


def test_of_several_failed_parts_the_first_one_is_told():
    def told(number, error=""):
        return {"number": number, "error": error, "kind": "DataError"}

    answers, seen = [told(2), told(5, "five"), told(0), told(3, "three"), told(4), told(1), told(6)], []
    with pytest.raises(DataError, match="three"):
        seen.extend(one["number"] for one in in_order(iter(answers), range(7)))
    assert seen == [2]
    assert [one["number"] for one in in_order(iter([told(1), told(0)]), range(2))] == [1, 0]


def test_a_full_disk_beside_out_says_so(tmp_path, monkeypatch):
    source = written(tmp_path, [(50, 20)], 0)
    parts = list(cut(source, 100))
    schema, common, folder, memory = for_workers(SCHEMA, parts, tmp_path / "missing" / "counts")
    answer = Worker(schema, common, folder, memory)(next(items(parts)))
    assert answer["kind"] == NotReadyError.__name__
    assert "counts of values cannot be written to" in answer["error"]
    assert MEMORY not in os.environ
