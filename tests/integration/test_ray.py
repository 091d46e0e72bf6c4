"""Counting, training and scoring on a Ray cluster of two workers on this machine: `make test-ray`, 3.8 GB of memory."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from polyrec.training.events import read

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'polyrec[ray]', or `make test-ray`"
    ),
]
SLOW = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600", "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}


COUNT = """
import sys
from dataclasses import replace
from pathlib import Path
from polyrec.cluster.connect import connected
from polyrec.cluster.count import counting
from polyrec.config import RunConfig
from polyrec.data.split import split
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import DataError
from polyrec.schema import Schema
data = RunConfig.load(sys.argv[1]).data
schema = Schema.load(data.schema)
train = split(data, schema).train
wrong = replace(schema, features=tuple(replace(one, kind="numeric") for one in schema.features))
def refused(*find):
    try:
        Vocabulary.fit(wrong, train, None, *find)
    except DataError as reason:
        return str(reason)
with connected(2) as ray:
    on_ray = Vocabulary.fit(schema, train, None, counting(ray, Path("counts").resolve(), 2, 1_000))
    said = refused(counting(ray, Path("wrong").resolve(), 2, 1_000))
assert said and said == refused(), said
on_ray.save("ray")
Vocabulary.fit(schema, train).save("alone")
"""


DIE = """
import os
from polyrec.cluster.connect import connected
from polyrec.cluster.deal import answer, deal
from polyrec.errors import NotReadyError
class Mortal:
    def __call__(self, told):
        if told["number"] == 2:
            with open(told["deaths"], "a") as deaths:
                deaths.write("x")
            os._exit(1)
        return answer(told["number"], lambda: 10)
parts = [{"number": number, "deaths": os.path.abspath("deaths")} for number in range(4)]
with connected(2) as ray:
    try:
        for told in deal(ray, parts, Mortal, (), 2):
            print(told)
    except NotReadyError as reason:
        print(reason)
"""


def started(folder, *arguments, program=("-m", "polyrec")):
    """`polyrec ARGUMENTS` under way; what it says goes to a file."""
    with (folder / "said.txt").open("w") as said:
        command = [sys.executable, *program, *map(str, arguments)]
        return subprocess.Popen(command, cwd=folder, env={**os.environ, **SLOW}, stdout=said, stderr=said)


def ran(folder, *arguments):
    """Its exit code, and what it said."""
    run = started(folder, *arguments)
    return run.wait(900), (folder / "said.txt").read_text()


def workers(name, root):
    """The processes of a command whose title has this name; Ray names its workers so."""
    below, found = {}, []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((one / "stat").read_text().rpartition(")")[2].split()[1])
            below.setdefault(parent, []).append((int(one.name), (one / "cmdline").read_text()))
        except OSError:
            continue
    open_ = [root]
    while open_:
        for pid, title in below.get(open_.pop(), []):
            open_.append(pid)
            found += [pid] if name in title else []
    return sorted(found)


def kill_one(run, name, ready, seconds=600):
    """Kill the last of these workers once `ready()`."""
    until = time.monotonic() + seconds
    while not (ready() and workers(name, run.pid)):
        assert run.poll() is None, "it was faster than the killer"
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(workers(name, run.pid)[-1], signal.SIGKILL)


def curve(folder):
    """The losses and scores that it told of, and the weights."""
    told = [(line["kind"], line.get("losses"), line.get("score")) for line in read(folder / "events.jsonl")]
    return told, load_file(folder / "bundle/model.safetensors")


def test_ray_trains_what_two_processes_train(log, tmp_path):
    asked = ("fit", log / "run.toml", "--processes", 2)
    code, said = ran(tmp_path, *asked, "--out", "processes")
    assert code == 0, said
    code, said = ran(tmp_path, *asked, "--out", "ray", "--ray")
    assert code == 0, said
    assert "0." in said
    one, other = curve(tmp_path / "processes"), curve(tmp_path / "ray")
    assert other[0] == one[0]
    for path in (tmp_path / "processes/vocabulary").iterdir():
        assert path.read_bytes() == (tmp_path / "ray/vocabulary" / path.name).read_bytes()
    assert one[1].keys() == other[1].keys()
    assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])
    assert {path.name for path in tmp_path.iterdir()} == {"data", "processes", "ray", "said.txt"}


def test_ray_counts_what_one_process_counts_though_a_worker_dies(log, tmp_path):
    frame, names = pl.read_parquet(log / "log.parquet"), []
    for number in range(12):
        names.append(f"log-{number:02d}.parquet")
        frame.sample(fraction=1.0, seed=number, shuffle=True).write_parquet(log / names[-1], row_group_size=300)
    told = (log / "run.toml").read_text()
    assert '"log.parquet"' in told
    (log / "run.toml").write_text(told.replace('"log.parquet"', '"log-*.parquet"'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYREC_VOCABULARY_MB", "0.02")
        run = started(tmp_path, log / "run.toml", program=("-c", COUNT))
    kill_one(run, "MapWorker", lambda: any((tmp_path / "counts").glob("*/[0-9]*")))
    assert run.wait(900) == 0, (tmp_path / "said.txt").read_text()
    assert len(list((tmp_path / "counts").glob("*/[0-9]*"))) > 8
    for path in sorted((tmp_path / "alone").iterdir()):
        assert path.read_bytes() == (tmp_path / "ray" / path.name).read_bytes(), path.name


def test_a_part_at_which_workers_die_is_given_up_and_ray_warns_of_nothing(tmp_path):
    run = started(tmp_path, program=("-W", "always", "-c", DIE))
    code, said = run.wait(900), (tmp_path / "said.txt").read_text()
    assert code == 0, said
    assert "part 2: its worker died 4 times over" in said
    assert (tmp_path / "deaths").read_text() == "xxxx"
    assert "will be removed in Ray" not in said


def test_a_mistake_is_told_in_words(log, tmp_path):
    (log / "log.parquet").rename(log / "elsewhere.parquet")
    code, said = ran(tmp_path, "fit", log / "run.toml", "--out", "out", "--processes", 2, "--ray")
    assert code == 2
    assert "log.parquet does not exist" in said
    assert "Traceback" not in said


def test_a_cluster_that_cannot_be_started_is_told_in_words(log, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 25)))
    code, said = ran(tmp_path, "fit", log / "run.toml", "--out", "out", "--processes", 2, "--ray")
    assert code == 2
    assert "Ray cannot be started on this machine (OSError: " in said
    assert "RAY_TMPDIR, a short path" in said
    assert not (tmp_path / ".out.ray").exists()


def stop(run, by, ready, seconds=600):
    """Its exit code, and what it said, once it is stopped when `ready()`; none of its processes is left."""
    until = time.monotonic() + seconds
    while not ready():
        assert run.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    begun = workers("", run.pid)
    run.send_signal(by)
    code = run.wait(60)
    assert len(begun) > 5
    assert [pid for pid in begun if Path(f"/proc/{pid}").exists()] == []
    return code


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", ["starting", "counting", "training"])
def test_fit_that_is_stopped_says_so_and_leaves_no_process_and_goes_on_with_resume(by, phase, log, tmp_path):
    ready = {
        "starting": lambda: any((tmp_path / ".out.ray").glob("[0-9a-f]*")) and len(workers("raylet", run.pid)) > 0,
        "counting": lambda: any((tmp_path / ".out.ray").glob("*/counts/*")),
        "training": (tmp_path / "out/checkpoints/train.safetensors").exists,
    }
    asked = ["fit", log / "run.toml", "--processes", 2, "--ray", "--out", "out"]
    asked += ["--set", "training.epochs=8", "--set", "training.patience=8", "--set", "training.checkpoint_steps=3"]
    run = started(tmp_path, *asked)
    assert stop(run, by, ready[phase]) == 130
    said = (tmp_path / "said.txt").read_text()
    assert said.endswith("polyrec: interrupted: run again with --resume to go on.\n")
    assert "SIGTERM" not in said
    assert "/polyrec/" not in said  # in a traceback; Ray has some of its own where another cluster is on this machine
    assert {path.name for path in tmp_path.iterdir()} == {"data", "said.txt"} | (
        {"out"} if phase == "training" else set()
    )
    if phase == "training" and by == signal.SIGTERM:
        code, said = ran(tmp_path, *asked, "--resume")
        assert code == 0, said
        assert (tmp_path / "out/report.json").exists()


@pytest.mark.parametrize("retries", [0, 1])
def test_a_worker_that_dies_fails_the_run_or_goes_on_from_the_last_checkpoint(log, tmp_path, retries):
    asked = ["fit", log / "run.toml", "--processes", 2, "--ray", "--set", "training.checkpoint_steps=3"]
    asked += ["--set", "training.epochs=8", "--set", "training.patience=8"]
    run = started(tmp_path, *asked, "--out", "out", "--retries", retries)
    kill_one(run, "RayTrainWorker", (tmp_path / "out/checkpoints/train.safetensors").exists)
    code, said = run.wait(900), (tmp_path / "said.txt").read_text()
    if not retries:
        assert code == 2
        assert "--resume" in said.splitlines()[-1]
        assert "Traceback" not in said
        code, said = ran(tmp_path, *asked, "--out", "out", "--resume")
    assert code == 0, said
    steps = [line["step"] for line in read(tmp_path / "out/events.jsonl") if line["kind"] == "evaluation"]
    assert steps == sorted(set(steps))
    assert (tmp_path / "out/report.json").exists()


@pytest.fixture
def bundle(log, tmp_path):
    code, said = ran(tmp_path, "fit", log / "run.toml", "--out", "out", "--set", "training.epochs=1")
    assert code == 0, said
    return tmp_path / "out" / "bundle"


def test_ray_scores_what_one_process_scores_once_each_though_a_worker_dies(bundle, log, tmp_path):
    frame, wide = pl.read_parquet(log / "log.parquet"), tmp_path / "wide"
    wide.mkdir()
    for number in range(24):
        frame.sample(fraction=1.0, seed=number, shuffle=True).write_parquet(wide / f"{number:02d}.parquet")
    files = sorted(wide.iterdir())
    code, said = ran(tmp_path, "predict", bundle, *files, "--out", "whole.parquet")
    assert code == 0, said
    asked = ("predict", bundle, *files, "--out", "scores", "--ray", "--processes", 2)
    scores = tmp_path / "scores"
    run = started(tmp_path, *asked)
    kill_one(run, "MapWorker", lambda: any(scores.glob("part-*")))
    code = run.wait(900)
    assert code == 0, (tmp_path / "said.txt").read_text()
    manifest = json.loads((scores / "manifest.json").read_text())
    names = [line["file"] for line in manifest["parts"]]
    assert len(names) == 24
    assert sorted(path.name for path in scores.iterdir()) == sorted([*names, "manifest.json", "plan.json"])
    whole = pq.read_table(tmp_path / "whole.parquet")
    assert pa.concat_tables(pq.read_table(scores / name) for name in names).equals(whole)
    assert manifest["rows"] == whole.num_rows == 24 * len(frame)
    # again: what is complete stays, what is missing comes
    times = {name: (scores / name).stat().st_mtime_ns for name in names}
    (scores / names[7]).unlink()
    code, said = ran(tmp_path, *asked)
    assert code == 0, said
    changed = [name for name in names if (scores / name).stat().st_mtime_ns != times[name]]
    assert changed == [names[7]]
    assert pa.concat_tables(pq.read_table(scores / name) for name in names).equals(whole)


def test_predict_that_ends_early_keeps_what_is_complete_and_nothing_else(bundle, log, tmp_path):
    frame, wide, out = pl.read_parquet(log / "log.parquet"), tmp_path / "wide", tmp_path / "scores"
    wide.mkdir()
    frame.with_columns(tab=pl.lit("nowhere")).write_parquet(tmp_path / "wrong.parquet")
    code, said = ran(tmp_path, "predict", bundle, tmp_path / "wrong.parquet", "--out", out, "--ray")
    assert (code, "scenario 'nowhere'" in said) == (2, True)
    assert not out.exists()
    for number in range(4):
        pl.concat([frame] * 50).write_parquet(wide / f"{number}.parquet")
    asked = ("predict", bundle, *sorted(wide.iterdir()), "--out", out, "--ray")
    run = started(tmp_path, *asked)
    assert stop(run, signal.SIGINT, (out / ".unfinished").exists) == 130
    said = (tmp_path / "said.txt").read_text()
    assert said.endswith("polyrec: interrupted: nothing was written.\n")
    assert not out.exists()
    run = started(tmp_path, *asked)
    assert stop(run, signal.SIGTERM, lambda: any(out.glob("part-*"))) == 130
    assert "; give the same command again to go on.\n" in (tmp_path / "said.txt").read_text()
    assert {path.name[:5] for path in out.iterdir()} == {"part-", "plan."}
    assert not (tmp_path / ".scores.ray").exists()
