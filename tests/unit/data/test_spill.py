import copy
import gc
import os
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyrec.data.files import Source
from polyrec.data.hashing import hash_text, splitmix64
from polyrec.data.keys import read_keys
from polyrec.data.lookup import Lookup
from polyrec.data.runs import Runs
from polyrec.data.spill import MEMORY, Space
from polyrec.data.stored import store
from polyrec.data.values import Values
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import ConfigError, NotReadyError
from polyrec.schema import Feature, Keys, Schema, Task

TINY = "0.0006"  # 100 bytes of values
SCHEMA = Schema(
    Keys("tab"),
    (
        Feature("word", "categorical"),
        Feature("number", "categorical", min_count=2),
        Feature("seen", "sequence", shares="word"),
        Feature("tags", "sequence"),
        Feature("bucket", "categorical", hash=7),
        Feature("price", "numeric"),
    ),
    (Task("click", "click"),),
)
FAST = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


pytestmark = pytest.mark.usefixtures("temporary")


def log(rows, seed, words=200):
    random = np.random.default_rng(seed)
    text = np.array([f"é{one % 7}-{one}" for one in range(words)], object)
    drawn = text[random.zipf(1.3, rows) % words]
    drawn[random.random(rows) < 0.1] = None
    numbers = random.integers(-(2**62), 2**62, 30)[random.integers(0, 30, rows)]
    lists = [None if one % 5 == 0 else text[random.integers(0, words, one % 4)].tolist() for one in range(rows)]
    return pa.table(
        {
            "tab": random.choice(["a", "b"], rows),
            "word": pa.array(drawn, pa.string()),
            "number": pa.array(numbers, mask=random.random(rows) < 0.2),
            "seen": pa.array(lists, pa.list_(pa.string())),
            "tags": pa.array([[one % 11, one % 3] for one in range(rows)], pa.list_(pa.int16())),
            "bucket": random.integers(0, 1000, rows),
            "price": random.normal(size=rows),
            "click": random.integers(0, 2, rows),
        }
    )


def expected(tables, names, least):
    """Values by falling count, equals by value, counted one by one."""
    counts = Counter()
    for table in tables:
        for name in names:
            for row in table[name].to_pylist():
                counts.update(one for one in (row if isinstance(row, list) else [row]) if one is not None)
    return [one for one, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if count >= least]


def fitted(monkeypatch, source, memory):
    monkeypatch.setenv(MEMORY, memory)
    return Vocabulary.fit(SCHEMA, source)


@pytest.mark.parametrize("memory", [TINY, "0.02", "0.5"])
def test_counts_that_are_spilled_give_the_ids_of_counts_in_memory(tmp_path, monkeypatch, memory):
    tables = [log(400, 0), log(700, 1), log(50, 2)]
    for place, table in enumerate(tables):
        pq.write_table(table, tmp_path / f"{place}.parquet", row_group_size=90)
    source = Source(tuple(tmp_path / f"{place}.parquet" for place in range(3)))
    held, spilled = fitted(monkeypatch, source, "1000"), fitted(monkeypatch, source, memory)
    assert all(one.stored is None for one in held.values.values())
    assert (spilled.values["word"].stored is not None) == (memory == TINY)
    assert spilled == held
    for name, names, least in (("word", ("word", "seen"), 1), ("number", ("number",), 2), ("tags", ("tags",), 1)):
        assert spilled.values[name].array().to_pylist() == expected(tables, names, least)
        assert len(spilled.values[name].array()) > 10
    for name in ("word", "number"):
        keys = read_keys(pa.concat_arrays([table[name].combine_chunks() for table in tables]), name)
        assert np.array_equal(spilled.values[name].ids(keys), held.values[name].ids(keys))


TEXTS = st.lists(st.one_of(st.none(), st.text("aé\0𝒳z", max_size=3)), min_size=1, max_size=60)
NUMBERS = st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 9)), min_size=1, max_size=60)


@FAST
@given(st.one_of(TEXTS, NUMBERS), st.integers(1, 3), st.integers(1, 20))
def test_any_column_gets_the_ids_it_gets_in_memory(tmp_path_factory, column, least, group):
    folder = tmp_path_factory.mktemp("log")
    kind = pa.string() if any(isinstance(one, str) for one in column) else pa.int64()
    table = pa.table({"x": pa.array(column, kind), "tab": ["a"] * len(column), "click": [0] * len(column)})
    if table["x"].null_count == len(table):
        return
    pq.write_table(table, folder / "log.parquet", row_group_size=group)
    schema = Schema(Keys("tab"), (Feature("x", "categorical", min_count=least),), SCHEMA.tasks)
    found = {}
    for memory in ("1000", TINY, "0.000006"):
        os.environ[MEMORY] = memory
        try:
            found[memory] = Vocabulary.fit(schema, Source((folder / "log.parquet",)))
        finally:
            del os.environ[MEMORY]
    assert found["1000"] == found[TINY] == found["0.000006"]
    assert found[TINY].values["x"].array().to_pylist() == expected([table], ["x"], least)


def test_growth_and_loading_are_the_same_on_disk(tmp_path, monkeypatch):
    paths = []
    for place in range(2):
        pq.write_table(log(500, place, words=100 + 80 * place), tmp_path / f"{place}.parquet", row_group_size=70)
        paths.append(tmp_path / f"{place}.parquet")
    grown = {}
    for memory in ("1000", TINY):
        vocabulary = fitted(monkeypatch, Source((paths[0],)), memory)
        grown[memory] = vocabulary.grow(SCHEMA, Source((paths[1],)))
        assert len(grown[memory].values["word"]) > len(vocabulary.values["word"])
    assert grown["1000"] == grown[TINY]
    grown[TINY].save(tmp_path / "kept")
    loaded = {}
    for memory in ("1000", TINY):
        monkeypatch.setenv(MEMORY, memory)
        loaded[memory] = Vocabulary.load(tmp_path / "kept")
        assert loaded[memory] == grown["1000"]
    assert loaded["1000"].values["word"].stored is None
    assert loaded[TINY].values["word"].stored is not None


@FAST
@given(st.lists(st.lists(st.tuples(st.integers(-3, 3), st.text("abé", max_size=2)), max_size=30), max_size=8))
def test_runs_are_merged_in_order_and_equals_stay_in_one_block(parts):
    with Space() as space:
        runs = Runs(["one", "other"], space)
        for part in parts:
            runs.write(pl.DataFrame(sorted(set(part)), {"one": pl.Int64, "other": pl.String}, orient="row"))
        blocks = [block.rows() for block in runs.merged()]
    assert [row for block in blocks for row in block] == sorted(row for part in parts for row in set(part))
    assert all(set(one).isdisjoint(other) for one, other in pairwise(blocks))


def test_blocks_of_a_run_are_read_one_after_the_other(temporary):
    with Space() as space:
        runs = Runs(["value"], space)
        for start in range(3):
            runs.write(pl.DataFrame({"value": np.arange(start, 300_000, 3)}))  # more than one block each
        assert len(list(temporary.iterdir())) == 1
        blocks = [block["value"].to_numpy() for block in runs.merged()]
    assert len(blocks) > 3
    assert max(map(len, blocks)) < 100_000
    assert np.array_equal(np.concatenate(blocks), np.arange(300_000))


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 20_000])
@pytest.mark.parametrize("kind", ["integer", "text"])
def test_what_is_stored_is_found_as_in_memory(monkeypatch, kind, count):
    monkeypatch.setenv(MEMORY, "0.05")
    random = np.random.default_rng(count)
    numbers = random.permutation(4 * count)[:count]
    known = numbers if kind == "integer" else pa.array([f"é{one}" for one in numbers], pa.large_string())
    stored = store(kind, [known[at : at + 3_000] for at in range(0, count, 3_000)])
    asked = np.arange(4 * count)
    hashes = splitmix64 if kind == "integer" else hash_text
    question = hashes(asked if kind == "integer" else pa.array([f"é{one}" for one in asked], pa.large_string()))
    assert np.array_equal(stored.lookup().find(question), Lookup.of(hashes(known)).find(question))
    again = Values(kind, stored.known(), stored=stored)
    assert again.array().equals(pa.array(known))


def test_values_on_disk_travel_as_a_path_and_go_with_the_first_of_them(temporary):
    stored = store("text", [pa.array(["a", "b"], pa.large_string())])
    values = Values("text", stored.known(), stored=stored)
    travelling = pickle.dumps(values)
    other = pickle.loads(travelling)
    assert other == values
    assert other.ids(read_keys(pa.array(["b", "c"]), "x")).tolist() == [3, 0]
    del stored, values, other
    gc.collect()
    assert not list(temporary.iterdir())
    with pytest.raises(NotReadyError, match=r"2 known values lie in .*Set TMPDIR to a folder that all processes see"):
        pickle.loads(travelling)


def test_an_error_leaves_nothing_behind(temporary):
    def broken():
        yield np.arange(5)
        assert list(temporary.iterdir())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store("integer", broken())
    assert not list(temporary.iterdir())


FULL = """
import resource, sys
from pathlib import Path
from polyrec.data.files import Source
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import NotReadyError
from polyrec.schema import Feature, Keys, Schema, Task
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
schema = Schema(Keys("tab"), (Feature("word", "categorical"),), (Task("click", "click"),))
try:
    Vocabulary.fit(schema, Source((Path(sys.argv[1]),)))
except NotReadyError as reason:
    print(reason)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files")
def test_a_full_disk_says_what_to_do_and_leaves_nothing(tmp_path, temporary):
    pq.write_table(log(3_000, 0, words=2_000), tmp_path / "log.parquet", row_group_size=100)
    environment = {**os.environ, MEMORY: "0.05", "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", FULL, str(tmp_path / "log.parquet"), "5000"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert f"cannot be written to {temporary}" in done.stdout
    assert f"Set TMPDIR to a folder with more space, raise {MEMORY} (now 0.05), or give features" in done.stdout
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("memory", ["much", "0", "-3", "nan", "inf"])
def test_a_bound_that_is_none_is_refused(monkeypatch, memory):
    monkeypatch.setenv(MEMORY, memory)
    with pytest.raises(ConfigError, match=rf"{MEMORY} = '{memory}' must be a number of megabytes above 0"):
        Space()


def test_a_folder_is_made_where_the_system_says(temporary):
    with Space() as space:
        assert space.file().parent.parent == temporary
        assert space.file() != space.file()
        assert isinstance(space.folder, Path)


def test_a_forked_process_and_a_copy_leave_the_folder_of_known_values(monkeypatch, temporary):
    monkeypatch.setenv(MEMORY, TINY)
    mine, forked = (Values.of("integer", [np.arange(0, 4_000, 2)]) for _ in range(2))
    own, shared = mine.stored.folder, forked.stored.folder
    maker = os.getpid()
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: maker + 1)
        del forked
        gc.collect()
    assert shared.exists()
    shutil.rmtree(shared)
    other = copy.deepcopy(mine)
    del mine
    gc.collect()
    assert other.ids(read_keys(pa.array([6, 7]), "n")).tolist() == [5, 0]
    del other
    gc.collect()
    assert not own.exists()
