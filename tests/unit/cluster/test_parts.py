"""Parts are the rows of the files, and a folder of scores holds each of them once."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.cluster import predict as predicting
from polyrec.cluster.fit import fit
from polyrec.cluster.output import Output
from polyrec.cluster.parts import parts
from polyrec.config import RunConfig
from polyrec.data.files import Source
from polyrec.errors import ConfigError, NotReadyError
from polyrec.recipes.fit import fit as train
from polyrec.serving import Scorer


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=4), least=st.integers(1, 30)
)
def test_parts_hold_every_row_once_in_order(tmp_path_factory, sizes, least):
    folder, paths, at = tmp_path_factory.mktemp("parts"), [], 0
    for number, (rows, group) in enumerate(sizes):
        paths.append(folder / f"{number}.parquet")
        kind = pa.int32() if number % 2 else pa.int64()  # types of the same column may differ
        pq.write_table(pa.table({"row": pa.array(range(at, at + rows), kind)}), paths[-1], row_group_size=group)
        at += rows
    schema = pa.schema([("row", pa.int64())])
    found = list(parts(paths, schema, least))
    read = [
        [one for table in part.rows(schema, frozenset()).tables() for one in table["row"].to_pylist()] for part in found
    ]
    assert [one for rows in read for one in rows] == list(range(at))
    assert [part.number for part in found] == list(range(len(found)))
    for part, rows in zip(found, read, strict=True):
        last = part.path not in {one.path for one in found[part.number + 1 :]}
        assert len(rows) >= least or last


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A bundle, files of both kinds, and what one process says about their rows."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from conftest import write_log

    folder = write_log(tmp_path_factory.mktemp("scored") / "data", rows=3_000)
    settings = {"recipe": "pooled", "training.epochs": 1, "training.evaluations": 1}
    bundle = train(RunConfig.load(folder / "run.toml", settings), folder / "out").bundle
    frame = pl.read_parquet(folder / "log.parquet")
    frame[:1_300].write_parquet(folder / "a.parquet", row_group_size=400)
    frame[1_300:1_500].write_csv(folder / "b.csv")
    frame[:0].write_parquet(folder / "c.parquet")
    frame[1_500:].with_columns(pl.col("user_id").cast(pl.Int32)).write_parquet(folder / "d.parquet", row_group_size=900)
    paths = tuple(folder / name for name in ("a.parquet", "b.csv", "c.parquet", "d.parquet"))
    Scorer.load(bundle).predict(Source(paths), folder / "whole.parquet")
    return bundle, paths, pq.read_table(folder / "whole.parquet")


@pytest.fixture
def work(scored, tmp_path):
    """What a worker is given, and the parts."""
    bundle, paths, _ = scored
    scorer = Scorer.load(bundle)
    source = Source(paths).as_text(scorer.encoder.texts)
    schema = pa.schema(list(source.columns().items()))
    folder = Output(tmp_path / "out")
    folder.claim({"bundle": "one"})
    given_ = (str(bundle), scorer.manifest.identity, str(folder.path), schema, source.texts)
    return folder, given_, list(parts(paths, schema, 500))


def test_workers_write_the_rows_of_one_process_and_a_part_that_is_scored_twice_is_there_once(scored, work):
    folder, given_, every = work
    one, other = predicting._Worker(*given_), predicting._Worker(*given_)
    told = [one(asdict(part)) for part in every]
    names = {path.name for path in folder.path.glob("part-*")}
    assert not any(answer["error"] for answer in told), told
    first = folder.path / every[0].file
    before = first.stat().st_mtime_ns
    assert [other(asdict(part)) for part in every] == told  # retried after a death: the same answers, nothing new
    assert first.stat().st_mtime_ns == before
    with folder.writing(every[0]) as target:  # by a worker that was thought dead
        Scorer.load(given_[0]).predict(every[0].rows(*given_[3:]), target)
    folder.finish({"bundle": "one"}, list(zip(every, (answer["rows"] for answer in told), strict=True)))
    assert {path.name for path in folder.path.glob("part-*")} == names
    assert {path.name for path in folder.path.iterdir()} == names | {"plan.json", "manifest.json"}
    manifest = json.loads(folder.manifest.read_text())
    assert [line["file"] for line in manifest["parts"]] == sorted(names)
    assert manifest["rows"] == 3_000 == sum(line["rows"] for line in manifest["parts"])
    assert pa.concat_tables(pq.read_table(folder.path / name) for name in sorted(names)).equals(scored[2])


def test_a_part_that_was_cut_short_or_never_renamed_is_not_complete(work):
    folder, given_, every = work
    assert folder.complete(every[0]) is None
    half = folder.writing(every[0])
    half.__enter__().write_bytes(b"half a file")
    assert not half.__exit__(OSError, OSError("no space"), None)
    assert not list(folder.path.rglob("*.parquet"))
    (folder.path / every[0].file).write_bytes(b"PAR1 and then nothing")
    assert folder.complete(every[0]) is None
    assert predicting._Worker(*given_)(asdict(every[0]))["rows"] == folder.complete(every[0]) == 800


def test_what_is_wrong_with_rows_or_bundle_is_an_answer_and_not_tried_again(work):
    _, given_, every = work
    lacking = given_[3].remove(given_[3].get_field_index("price"))
    told = predicting._Worker(*given_[:3], lacking, given_[4])(asdict(every[0]))
    assert told["kind"] == "DataError"
    assert "price" in told["error"]
    told = predicting._Worker(given_[0], "pooled@other", *given_[2:])(asdict(every[0]))
    assert told["kind"] == "BundleError"
    assert "has become another bundle" in told["error"]


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="is not empty: nothing is overwritten"):
        Output(tmp_path / "full").claim({"bundle": "one"})
    with pytest.raises(ConfigError, match=r"is a file\. With --ray scores go into a folder"):
        Output(tmp_path / "full" / "mine.txt").claim({"bundle": "one"})
    Output(tmp_path / "new").claim({"bundle": "one", "files": [1]})
    Output(tmp_path / "new").claim({"bundle": "one", "files": []})  # mended before a part was scored
    Output(tmp_path / "new").claim({"bundle": "one", "files": []})
    (tmp_path / "new" / "part-00000000.parquet").write_bytes(b"")
    with pytest.raises(ConfigError, match="holds scores of something else: bundle differ"):
        Output(tmp_path / "new").claim({"bundle": "two", "files": []})


def test_without_ray_the_message_says_what_to_install(monkeypatch, log, tmp_path, scored):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NotReadyError, match=r"pip install 'polyrec\[ray\]'"):
        fit(RunConfig.load(log / "run.toml"), tmp_path / "out", workers=2)
    with pytest.raises(NotReadyError, match=r"pip install 'polyrec\[ray\]'"):
        predicting.predict(scored[0], scored[1], tmp_path / "scores", workers=2)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "scores").exists()
    with pytest.raises(ConfigError, match="--processes 0 must be at least 1"):
        fit(RunConfig.load(log / "run.toml"), tmp_path / "out", workers=0)
    with pytest.raises(ConfigError, match="--retries -1 must be at least 0"):
        fit(RunConfig.load(log / "run.toml"), tmp_path / "out", workers=1, retries=-1)
