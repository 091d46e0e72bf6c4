"""A finished fit goes on day by day through the command line, whatever kills it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.artifact.manifest import Manifest
from polyrec.training import checkpoint

DAYS = 4
RUN = """recipe = "mmoe"
[data]
schema = "schema.toml"
log = ["first.parquet"]
[model]
dim = 4
expert_widths = [8]
tower_widths = [4]
[training]
batch_size = 64
epochs = 1
threads = 1
checkpoint_steps = 5
"""
SCHEMA = """[keys]
scenario = "tab"
user = "user"
time = "time"
[[features]]
name = "user"
kind = "categorical"
side = "user"
[[features]]
name = "item"
kind = "categorical"
side = "item"
[[tasks]]
name = "click"
label = "click"
"""


def day(number, rows=1_500):
    chance = np.random.default_rng(number + 9)
    item = chance.integers(0, 40 + 5 * number, rows)
    tabs = ["home", "feed"] + (["mini"] if number >= 2 else [])
    return pl.DataFrame(
        {
            "tab": chance.choice(tabs, rows),
            "user": chance.integers(0, 200, rows),
            "item": item,
            "time": np.sort(chance.integers(number * 100_000, (number + 1) * 100_000, rows)),
            "click": (chance.random(rows) < np.where(item % 3 == 0, 0.6, 0.1)).astype(int),
        }
    )


def polyrec(*words, check=0):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "polyrec", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == check, done.stderr
    return done


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "run.toml").write_text(RUN)
    pl.concat([day(-2), day(-1), day(0)]).write_parquet(folder / "first.parquet")
    for number in range(1, DAYS + 1):
        day(number).write_parquet(folder / f"day{number}.parquet")
    polyrec("fit", folder / "run.toml", "--out", folder / "run")
    return folder


@pytest.fixture(scope="module")
def whole(world):
    """All days in one call that nothing disturbs; rows of a new scenario are an expected shift of none."""
    polyrec("update", world / "run", *days(world), "--out", world / "whole", "--replay", "0.2")
    return world / "whole"


def days(world):
    return [world / f"day{number}.parquet" for number in range(1, DAYS + 1)]


def lines(folder):
    return [json.loads(one) for one in (folder / "history.jsonl").read_text().splitlines()]


def learned(folder):
    path = folder / "generations" / f"{DAYS:06d}" / "learner.safetensors"
    return checkpoint.load(path).tensors


@pytest.mark.slow
def test_each_day_is_judged_then_learned_from_and_new_values_and_scenarios_join(whole):
    told = lines(whole)
    assert [one["generation"] for one in told] == list(range(DAYS + 1))
    assert told[2]["new scenarios"] == ["mini"]
    assert all(one["new values"]["item"] > 0 for one in told[1:])
    # a twentieth is held out, and a fifth of each batch is replayed
    assert all(one["trained"] == pytest.approx(0.95 / 0.8 * one["rows"], rel=0.03) for one in told[1:])
    auc = [row["value"] for one in told for row in one["cells"]
           if (row["scenario"], row["metric"], row["space"]) == ("*", "auc", "all")]  # fmt: skip
    assert auc[-1] > auc[1] + 0.02
    assert set(told[-1]["held"]) == {str(one) for one in range(DAYS + 1)}
    bundle = Bundle.load(whole / "bundle")
    assert bundle.encoder.layout.scenarios == ("feed", "home", "mini")
    rows = [{"tab": "mini", "user": 3, "item": item} for item in (3, 4)]
    hit, miss = bundle.probabilities(bundle.encoder.encode_rows(rows))[bundle.schema.targets[0]].tolist()
    assert hit > miss
    period = Manifest.read(whole / "bundle").trained_on["period"]
    assert (period["column"], period["to"]) == ("time", told[-1]["time"][1])
    assert period["from"] < 0
    assert "What is forgotten" in (whole / "report.html").read_text()


@pytest.mark.slow
def test_known_ids_keep_their_place_and_optimizer_state_goes_on(world, whole):
    before = Bundle.load(world / "run" / "bundle").encoder.vocabulary.values["item"].array()
    after = Bundle.load(whole / "bundle").encoder.vocabulary.values["item"].array()
    assert after.slice(0, len(before)).equals(before)
    first = checkpoint.load(world / "run" / "checkpoints" / "train.safetensors")
    steps = [one for name, one in first.tensors.items() if name.endswith(".step")]
    later = [one for name, one in learned(whole).items() if name.endswith(".step")]
    assert float(later[0]) > float(steps[0]) + 3 * 20


@pytest.mark.slow
def test_a_call_a_day_learns_what_one_call_learns(world, whole, tmp_path):
    out = tmp_path / "daily"
    for one in days(world):
        polyrec("update", world / "run", one, "--out", out, "--replay", "0.2")
    expected, found = learned(whole), learned(out)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], one) for name, one in found.items())


@pytest.mark.slow
def test_an_update_killed_at_random_moments_ends_with_the_weights_of_an_undisturbed_one(world, whole, tmp_path):
    seed = time.time_ns()
    chance = random.Random(seed)
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "polyrec", "update", world / "run", *days(world), "--out", out, "--replay", "0.2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = 0
    for _ in range(60):
        process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True, env=environment)
        try:
            process.communicate(timeout=chance.uniform(2.0, 8.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += process.returncode == -signal.SIGKILL
            if (out / "generations" / "current").exists():
                name = (out / "generations" / "current").read_text().strip()
                Bundle.load(out / "generations" / name / "bundle")  # the last good generation, whole
            if killed >= 5:
                break
        else:
            break
    polyrec(*command[3:])
    assert killed, f"nothing was killed (seed {seed})"
    expected, found = learned(whole), learned(out)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], one) for name, one in found.items()), f"seed {seed}"
    clocks = ("seconds",)
    plain = [[{key: value for key, value in one.items() if key not in clocks} for one in lines(folder)]
             for folder in (whole, out)]  # fmt: skip
    assert plain[0] == plain[1]
    assert not list(Path(out).rglob("*.tmp"))


@pytest.mark.slow
def test_bad_periods_are_refused_skipped_or_taken_and_gone_back_from(world, tmp_path):
    out, broken = tmp_path / "daily", tmp_path / "broken.parquet"
    day(3).with_columns(click=pl.lit(0)).write_parquet(broken)
    first, second = days(world)[:2]
    told = polyrec("update", world / "run", first, broken, "--out", out, check=2).stderr
    assert "period broken is refused: label of click: 0 everywhere" in told
    assert "generation 1 stands" in told
    assert "learned from already" in polyrec("update", out, first).stderr
    skipped = polyrec("update", out, broken, second, "--skip-bad").stderr
    assert "It is left out." in skipped
    assert [one["name"] for one in lines(out)] == ["the fit", "day1", "day2"]
    polyrec("update", out, broken, "--force")
    assert lines(out)[3]["findings"][0]["kind"] == "labels"
    polyrec("rollback", out)
    assert (out / "generations" / "current").read_text().strip() == "000002"
    assert str((out / "bundle").readlink()) == "generations/000002/bundle"
    again = tmp_path / "again.parquet"
    pl.read_parquet(second).reverse().write_parquet(again)
    assert "are those of day2" in polyrec("update", out, again, check=2).stderr
    missing = tmp_path / "missing.parquet"
    pl.read_parquet(days(world)[2]).drop("item").write_parquet(missing)
    assert "item" in polyrec("update", out, missing, "--force", check=2).stderr
    assert "has no generation 9" in polyrec("rollback", out, "--to", "9", check=2).stderr
    page = (out / "report.html").read_text()
    assert "0 everywhere" in page
    assert "Gone back to generation 2." in page


@pytest.mark.slow
def test_another_run_and_a_folder_of_other_things_are_refused(world, whole, tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / ".letter.tmp").write_text("mine too")
    assert "is not empty" in polyrec("update", world / "run", days(world)[0], "--out", tmp_path, check=2).stderr
    assert (tmp_path / ".letter.tmp").read_text() == "mine too"
    told = polyrec("update", world / "run", days(world)[0], "--out", tmp_path / "n", "--set", "model.dim=3", check=2)
    assert "training.* alone" in told.stderr
    assert whole.exists()
