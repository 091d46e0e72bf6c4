"""A suite that is killed again and again ends with the numbers of one that never was; a search goes on likewise."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from polyrec import recipes
from polyrec.config import RunConfig
from polyrec.recipes.folder import RunFolder

SUITE = """
name = "tiny"
recipes = ["pooled", "mmoe"]
seeds = [0, 1]
trials = 2
[training]
epochs = 1
batch_size = 256
evaluations = 1
threads = 1
[space]
"training.lr" = { low = 1e-3, high = 1e-2, log = true }
[[data]]
name = "mine"
run = "run.toml"
[[data]]
name = "world"
simulate = { preset = "conflict", rows = 2_000, scenarios = 2 }
"""
CELLS = 2 * 2 * (2 + 2)


def lines(out: Path) -> dict[str, dict]:
    path = out / "results.jsonl"
    found = [json.loads(one) for one in path.read_bytes().splitlines(keepends=True) if one.endswith(b"\n")]
    assert len(found) == len({one["cell"] for one in found}), "a cell was trained twice"
    return {one["cell"]: one for one in found}


def begin(*arguments: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "polyrec", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_lines(process: subprocess.Popen[bytes], path: Path, count: int) -> None:
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)


@pytest.mark.slow
def test_a_suite_that_is_killed_goes_on_and_ends_as_if_it_had_not_been(log, polyrec, tmp_path):
    (log / "suite.toml").write_text(SUITE, encoding="utf-8")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    planned = polyrec("bench", log / "suite.toml", "--out", whole, "--dry-run")
    assert planned.code == 0, planned.err
    assert f"{CELLS} cells, 0 done, {CELLS} to do" in planned.out
    assert not whole.exists()
    done = polyrec("bench", log / "suite.toml", "--out", whole, timeout=400)
    assert done.code == 0, done.err
    assert "Test AUC on `world`" in done.out
    for after in (1, 6):
        process = begin("bench", log / "suite.toml", "--out", killed)
        wait_for_lines(process, killed / "results.jsonl", after)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = lines(killed)
        assert after <= len(before) < CELLS
    assert polyrec("bench", log / "suite.toml", "--out", killed, timeout=400).code == 0
    one, other = lines(whole), lines(killed)
    assert set(one) == set(other)
    assert len(one) == CELLS
    for key, line in one.items():
        for what in ("score", "settings", "metrics", "run", "status", "parameters"):
            assert line.get(what) == other[key].get(what), (key, what)
    assert (whole / "leaderboard.html").exists()

    # The command beside a number gives that number, from the run file beside it.
    line = one["mine/mmoe/seed-1"]
    words = line["command"].split()[1:]
    again = RunConfig.load(whole / words[1])
    assert again.training["seed"] == 1
    assert again.training.get("lr") == line["settings"].get("training.lr")
    words[words.index("--out") + 1] = "again"
    words[1] = str(whole / words[1])
    assert polyrec(*words).code == 0
    assert json.loads((tmp_path / "again" / "report.json").read_text())["cells"] == line["metrics"]


@pytest.mark.slow
def test_the_cell_of_a_suite_that_is_killed_ends_too_and_holds_the_folder_until_then(log, tmp_path):
    text = SUITE.replace("epochs = 1", "epochs = 2_000\npatience = 5_000").replace("trials = 2", "")
    (log / "suite.toml").write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    process = begin("bench", log / "suite.toml", "--out", out, "--only", "mine")
    events = RunFolder(out / "runs" / "mine" / "pooled" / "seed-0").events
    wait_for_lines(process, events, 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with RunFolder(out).held(patience=30):
        before = events.read_bytes()
        time.sleep(1)
        assert events.read_bytes() == before, "the cell trains on"
    assert before


@pytest.mark.slow
def test_a_failed_cell_is_told_and_the_others_run(log, polyrec, tmp_path):
    text = SUITE.replace('recipes = ["pooled", "mmoe"]', 'recipes = ["pooled", "ecat"]').replace("trials = 2", "")
    text = text.replace('run = "run.toml"', 'run = "run.toml"\ntransfer = { target = "nowhere" }')  # seen with the rows
    (log / "suite.toml").write_text(text, encoding="utf-8")
    done = polyrec("bench", log / "suite.toml", "--out", "out", "--only", "mine", timeout=300)
    assert done.code == 0, done.err
    found = lines(tmp_path / "out")
    assert {one["status"] for one in found.values()} == {"done", "failed"}
    assert "`ecat` (seed 0 failed:" in done.out
    assert "nowhere" in done.out

    # With another option the old lines are of another suite: neither on the page nor done.
    assert "Made with nothing yet" not in done.out
    (log / "suite.toml").write_text(text.replace("batch_size = 256", "batch_size = 128"), encoding="utf-8")
    page = polyrec("bench", log / "suite.toml", "--out", "out", "--only", "mine", "--page")
    assert "Made with nothing yet" in page.out


@pytest.mark.slow
def test_a_search_ends_no_worse_than_it_began_goes_on_and_never_scores_test_rows(log, polyrec, tmp_path):
    space = tmp_path / "space.toml"
    space.write_text('"training.lr" = { low = 1e-3, high = 3e-2, log = true }\n"model.dim" = [4, 8]\n')
    common = [log / "run.toml", "--out", "tuned", "--space", space, "--sampler", "random"]
    assert polyrec("tune", *common, "--trials", "2", timeout=300).code == 0
    done = polyrec("tune", *common, "--trials", "4", timeout=300)
    assert done.code == 0, done.err
    trials = [json.loads(one) for one in (tmp_path / "tuned" / "trials.jsonl").read_text().splitlines()]
    assert [one["cell"] for one in trials] == [f"trial-{number}" for number in range(4)]
    assert trials[0]["settings"] == {}
    best = max(trials, key=lambda one: one["score"])
    run = RunConfig.load(tmp_path / "tuned" / "run.toml")
    assert run.training.get("lr", None) == best["settings"].get("training.lr")
    assert run.model.get("dim", None) == best["settings"].get("model.dim")
    assert not list((tmp_path / "tuned").rglob("test.parquet"))
    assert not list((tmp_path / "tuned").rglob("report.json"))
    refused = polyrec("tune", log / "run.toml", "--out", "tuned", "--trials", "4", "--sampler", "random")
    assert refused.code == 2
    assert "holds a search of another run, space or sampler" in refused.err


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_every_recipe_of_the_quick_suite_ends(polyrec, tmp_path):
    done = polyrec("bench", "quick", "--out", "quick", timeout=1_700)
    assert done.code == 0, done.err
    found = lines(tmp_path / "quick")
    assert {one["cell"]: one.get("error") for one in found.values() if one["status"] != "done"} == {}
    assert {one["recipe"] for one in found.values()} == set(recipes.names())


def test_mistakes_are_told_at_once(log, polyrec, tmp_path):
    assert "Did you mean 'real'" in polyrec("bench", "rael").err
    (log / "suite.toml").write_text(SUITE.replace("run.toml", "nun.toml"), encoding="utf-8")
    refused = polyrec("bench", log / "suite.toml", "--out", "out")
    assert refused.code == 2
    assert "nun.toml does not exist" in refused.err
    assert not (tmp_path / "out").exists()
    space = tmp_path / "space.toml"
    space.write_text('"training.lrr" = [1, 2]\n')
    refused = polyrec("tune", log / "run.toml", "--space", space, "--sampler", "random", "--out", "tuned")
    assert refused.code == 2
    assert "Did you mean 'lr'" in refused.err
