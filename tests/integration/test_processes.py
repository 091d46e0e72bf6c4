"""Several processes train what one trains: the same losses at every step, in float64, to rounding."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from polyrec.artifact import Bundle
from polyrec.data.simulate import simulate
from polyrec.training.events import read

RUN = """recipe = "{recipe}"
[data]
schema = "schema.toml"
log = ["log.parquet"]
shuffle_rows = 1500
[training]
epochs = 2
batch_size = 300
threads = 1
{more}
"""
SEEDS = (
    "aem2tl",
    *(pytest.param(one, marks=pytest.mark.long) for one in ("autoifs", "ecat", "mmoe", "sass", "star", "dann")),
)

SHARDED = ("aem2tl", "autoifs", "sass", "ecat", "widedeep", "single")


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    simulate(folder, rows=4_000, scenarios=3, seed=1)
    return folder


def environment(rank, size, port):
    given = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {**os.environ, "OMP_NUM_THREADS": "1", **({key: str(one) for key, one in given.items()} if size > 1 else {})}


def curve(folder, name, recipe, size, more=""):
    """What `size` processes learn."""
    run = folder / f"{name}-{size}.toml"
    run.write_text(RUN.format(recipe=recipe, more=more), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(Path(__file__).with_name("curve.py")), str(run), str(run.with_suffix(".json"))]
    started = [subprocess.Popen(command, env=environment(rank, size, port)) for rank in range(size)]
    assert [one.wait(200) for one in started] == [0] * size
    return json.loads(run.with_suffix(".json").read_text(encoding="utf-8"))


def same(one, other):
    assert len(one["losses"]) == len(other["losses"]) > 10
    for mine, theirs in zip(one["losses"], other["losses"], strict=True):
        assert theirs == pytest.approx(mine, rel=1e-5, abs=1e-9)
    assert other["weights"] == pytest.approx(one["weights"], rel=1e-5, abs=1e-5)
    assert other["scores"] == pytest.approx(one["scores"], rel=1e-6)


MORE = 'balancer = "uncertainty"\nmask_ids = 0.1\nclip = 1.0'


@pytest.fixture(scope="module")
def alone(logged):
    return curve(logged, "fast", "mmoe", 1, MORE)


def test_two_processes_learn_what_one_learns(logged, alone):
    same(alone, curve(logged, "fast", "mmoe", 2, MORE))


def test_two_processes_learn_the_same_with_a_part_of_the_rows_each_and_send_little_more_than_they_must(logged, alone):
    found = curve(logged, "sharded", "mmoe", 2, f"{MORE}\nshard_rows = 100")
    same(alone, found)
    assert found["sharded"] == ["inputs.embedding.tables.16.weight"]
    assert not found["bytes"]
    assert found["least"] < found["sent"] < 1.3 * found["least"]


def test_two_processes_learn_the_same_from_row_groups_of_their_own_and_read_no_others(tmp_path):
    simulate(tmp_path, rows=5_000, scenarios=3, seed=1)
    pq.write_table(pq.read_table(tmp_path / "log.parquet"), tmp_path / "log.parquet", row_group_size=100)
    one, two = (curve(tmp_path, "groups", "mmoe", size) for size in (1, 2))
    same(one, two)
    (rows,) = one["taken"]
    assert rows <= sum(two["taken"]) < 1.1 * rows  # the last row groups may be read by both
    assert max(two["taken"]) < 0.6 * rows


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [pytest.param(one, marks=pytest.mark.long) for one in SHARDED])
def test_recipes_learn_the_same_with_sharded_tables(logged, recipe):
    more = '[transfer]\ntarget = "s1"' if recipe == "ecat" else ""
    one = curve(logged, f"{recipe}-whole", recipe, 1, more)
    two = curve(logged, f"{recipe}-sharded", recipe, 2, f"shard_rows = 1\n{more}")
    same(one, two)
    assert two["sharded"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.long)])
@pytest.mark.parametrize("recipe", SEEDS)
def test_the_seeds_learn_the_same_in_several_processes(logged, recipe, size):
    more = '[transfer]\ntarget = "s1"' if recipe in ("ecat", "dann") else ""
    name = f"{recipe}-{size}"
    same(curve(logged, name, recipe, 1, more), curve(logged, name, recipe, size, more))


LONG = [pytest.param(one, marks=pytest.mark.long) for one in ("pcgrad", "mgda", "cagrad", "famo", "nash_mtl", "dwa")]


@pytest.mark.slow
@pytest.mark.parametrize("balancer", ["gradnorm", *LONG])
def test_balancers_see_the_gradients_of_all_processes(logged, balancer):
    more = f'balancer = "{balancer}"'
    same(curve(logged, balancer, "mmoe", 1, more), curve(logged, balancer, "mmoe", 2, more))


@pytest.mark.slow
def test_batches_of_fewer_rows_than_processes_and_absent_scenarios_change_nothing(tmp_path):
    simulate(tmp_path, rows=300, scenarios=3, seed=1)
    more = "evaluations = 1\n[stages.train]\nbatch_size = 2\nepochs = 1"
    same(curve(tmp_path, "few", "star", 1, more), curve(tmp_path, "few", "star", 3, more))


def fit(log, out, processes, *more):
    command = [sys.executable, "-m", "polyrec", "fit", str(log / "run.toml"), "--out", str(out)]
    command += ["--processes", str(processes), "--set", "training.checkpoint_steps=3", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def workers(parent):
    return [int(one) for one in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def wait_for(path, seconds=60):
    until = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert path.exists()


def cells(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))["cells"]


def near(one, other):
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert (mine["value"] is None) == (theirs["value"] is None)
        assert mine["value"] is None or theirs["value"] == pytest.approx(mine["value"], abs=2e-3)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
@pytest.mark.parametrize("again", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)])
def test_a_killed_process_ends_the_others_and_the_run_resumes_in_another_number_of_them(log, tmp_path, again):
    whole = fit(log, tmp_path / "whole", 2)
    assert whole.communicate(timeout=200)[0]
    assert whole.returncode == 0
    out = tmp_path / "killed"
    for attempt in range(2):
        run = fit(log, out, 2, "--resume")
        wait_for(out / "checkpoints" / "train.safetensors")
        while run.poll() is None and len(workers(run.pid)) < 2:
            time.sleep(0.05)
        time.sleep(6.0 if attempt else 0.3)
        begun, found = time.monotonic(), workers(run.pid) if run.poll() is None else []
        if not found:  # it was faster than the killer
            run.communicate()
            break
        os.kill(found[attempt % len(found)], signal.SIGKILL)
        _, told = run.communicate(timeout=90)
        assert time.monotonic() - begun < 60
        assert run.returncode == 1
        assert "was ended by SIGKILL" in told
        assert "--resume" in told
        assert "Traceback" not in told
    run = fit(log, out, again, "--resume")
    _, told = run.communicate(timeout=200)
    assert run.returncode == 0, told
    near(cells(tmp_path / "whole"), cells(out))
    steps = [line["step"] for line in read(out / "events.jsonl") if line["kind"] == "evaluation"]
    assert steps == sorted(set(steps))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
def test_sharded_tables_resume_in_another_number_of_processes_and_leave_the_bundle_of_whole_ones(log, tmp_path):
    sharded = ("--set", "training.shard_rows=1", "--set", "training.average=16")
    whole = fit(log, tmp_path / "whole", 1, "--set", "training.average=16")
    assert whole.communicate(timeout=200)[0]
    out, shards = tmp_path / "sharded", tmp_path / "sharded" / "checkpoints" / "process-1"
    first = fit(log, out, 2, *sharded)
    wait_for(shards)
    while first.poll() is None and not any(shards.glob("train.[3-9]*")):
        time.sleep(0.05)
    assert first.poll() is None, first.communicate()[1]
    os.kill(workers(first.pid)[1], signal.SIGKILL)
    assert first.communicate(timeout=90)[1].count("was ended by SIGKILL") == 1
    for count in (3, 1):
        rest = fit(log, out, count, "--resume", *sharded)
        if count == 3:
            while rest.poll() is None and not any((out / "checkpoints" / "process-2").glob("train.[6-9]*")):
                time.sleep(0.05)
            os.kill(workers(rest.pid)[2], signal.SIGKILL)
            assert rest.communicate(timeout=90)[1].count("was ended by SIGKILL") == 1
        else:
            assert rest.communicate(timeout=200)[0]
            assert rest.returncode == 0
    near(cells(tmp_path / "whole"), cells(out))
    assert not any(out.glob("checkpoints/process-*/*"))  # one process alone has no need of them
    one, other = (load_file(folder / "bundle" / "model.safetensors") for folder in (tmp_path / "whole", out))
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=1e-4)
    for folder in (tmp_path / "whole", out):
        assert Bundle.load(folder / "bundle").manifest.parameters == sum(value.numel() for value in one.values())


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
@pytest.mark.parametrize("more", [(), ("--set", "training.shard_rows=1")], ids=["whole", "sharded"])
def test_a_run_killed_twenty_times_ends_as_an_undisturbed_one(log, tmp_path, more):
    more = (*more, "--set", "training.epochs=30", "--set", "training.patience=30")
    whole = fit(log, tmp_path / "whole", 2, *more)
    assert whole.communicate(timeout=300)[0]
    out, random, kills = tmp_path / "killed", np.random.default_rng(0), 0
    events = out / "events.jsonl"
    while kills < 20:
        count = int(random.integers(2, 4))
        run, begun = fit(log, out, count, "--resume", *more), time.time()
        newest = out / "checkpoints" / "train.safetensors"
        while run.poll() is None and not (newest.exists() and newest.stat().st_mtime > begun):
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.5))
        found = workers(run.pid) if run.poll() is None else []
        if not found:
            break
        os.kill(found[random.integers(len(found))], signal.SIGKILL)
        _, told = run.communicate(timeout=90)
        assert run.returncode == 1, told
        assert "was ended by SIGKILL" in told
        kills += 1
    print(f"{kills} kills, last at step {read(events)[-1].get('step')}")
    assert kills == 20
    run = fit(log, out, 2, "--resume", *more)
    _, told = run.communicate(timeout=300)
    assert run.returncode == 0, told
    near(cells(tmp_path / "whole"), cells(out))


def test_a_mistake_is_told_once(log, tmp_path):
    (log / "run.toml").write_text((log / "run.toml").read_text().replace("mmoe", "mmoo"), encoding="utf-8")
    run = fit(log, tmp_path / "out", 2)
    _, told = run.communicate(timeout=100)
    assert run.returncode == 2
    assert told.count("mmoo") == 1, told
    assert "Did you mean" in told
