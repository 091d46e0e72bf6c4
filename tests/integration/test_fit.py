"""From a log to a report, scores and a comparison, by the command line, as a person would."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow
Command = Callable[..., Any]  # the `polyrec` fixture
FASTER = ["--set=training.lr=0.01", "--set=training.table_lr=0.1", "--set=training.epochs=4"]


def make_plain(log: Path) -> None:
    """Every third item is clicked seven times as often as the others, which a few steps can learn."""
    rows = pl.read_parquet(log / "log.parquet")
    item = rows["item_id"].str.strip_prefix("item-").cast(pl.Int64).to_numpy()
    click = np.random.default_rng(5).random(len(rows)) < 0.1 + 0.6 * (item % 3 == 0)
    buy = click & (np.random.default_rng(6).random(len(rows)) < 0.4)
    rows = rows.with_columns(is_click=pl.Series(click).cast(pl.Int8), is_buy=pl.Series(buy).cast(pl.Int8))
    rows.write_parquet(log / "log.parquet")


def test_a_run_leaves_everything_that_its_users_hold_on_to(log: Path, polyrec: Command, tmp_path: Path) -> None:
    make_plain(log)
    out = tmp_path / "out"
    done = polyrec("fit", log / "run.toml", "--out", out, *FASTER)
    assert done.code == 0, done.err
    assert "search" in done.out
    names = {path.name for path in out.iterdir()}
    assert {"run.toml", "events.jsonl", "report.json", "report.html", "checkpoints", "bundle"} <= names
    assert not any(name.startswith(".") for name in names)
    report = json.loads((out / "report.json").read_text())
    assert report["version"] == 1
    assert report["recipe"] == "mmoe"
    assert report["split"] == "test"
    assert {"seconds", "rows_per_second", "parameters", "peak_memory_mb", "seed"} <= set(report["run"])
    keys = {"scenario", "task", "space", "metric", "value", "low", "high", "n", "positives", "note"}
    assert all(set(cell) == keys for cell in report["cells"])
    spaces = {(cell["task"], cell["space"]) for cell in report["cells"]}
    assert spaces == {("click", "all"), ("buy", "all"), ("buy", "click")}
    assert {cell["scenario"] for cell in report["cells"]} == {"home", "search", "*", "macro"}
    assert {cell["metric"] for cell in report["cells"]} == {"auc", "gauc", "log_loss", "ne", "ece", "pcoc"}
    pooled = {
        (one["task"], one["space"]): one for one in report["cells"] if one["metric"] == "auc" and one["scenario"] == "*"
    }
    assert pooled["click", "all"]["value"] > 0.7  # of 0.79 that can be reached
    assert pooled["buy", "click"]["n"] == pooled["click", "all"]["positives"]


def test_evaluate_and_predict_agree_with_the_report_and_keep_the_rows_in_order(
    log: Path, polyrec: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert polyrec("fit", log / "run.toml", "--out", out).code == 0
    rows = pl.read_parquet(log / "log.parquet")
    start = rows["day"].quantile(0.9, "nearest")
    scores = tmp_path / "scores.parquet"
    done = polyrec("predict", out / "bundle", log / "log.parquet", "--out", scores)
    assert done.code == 0, done.err
    found = pl.read_parquet(scores)
    assert found.columns == ["user_id", "item_id", "tab", "day", "p_click", "p_buy", "p_buy_given_click"]
    for key in ("user_id", "item_id", "tab", "day"):
        assert found[key].to_list() == rows[key].to_list()
    product = found["p_click"] * found["p_buy_given_click"]
    assert (found["p_buy"] - product).abs().max() < 1e-6
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=1)
    shuffled.select(reversed(shuffled.columns)).write_csv(tmp_path / "shuffled.csv")
    assert polyrec("predict", out / "bundle", tmp_path / "shuffled.csv", "--out", tmp_path / "again.parquet").code == 0
    keys = ["user_id", "item_id", "tab", "day", "p_click"]
    one, other = (frame.select(keys).sort(keys) for frame in (found, pl.read_parquet(tmp_path / "again.parquet")))
    assert (one["p_click"] - other["p_click"]).abs().max() < 1e-5
    test = tmp_path / "test.parquet"
    rows.filter(pl.col("day") >= start).write_parquet(test)
    judged = tmp_path / "judged.json"
    done = polyrec("evaluate", out / "bundle", test, "--out", judged)
    assert done.code == 0, done.err
    mine, theirs = (
        {(c["scenario"], c["task"], c["space"], c["metric"]): c["value"] for c in json.loads(path.read_text())["cells"]}
        for path in (judged, out / "report.json")
    )
    assert mine.keys() == theirs.keys()


def test_compare_says_in_words_what_gained_and_what_cannot_be_told(log: Path, polyrec: Command, tmp_path: Path) -> None:
    make_plain(log)
    slow = ["--set=training.lr=1e-9", "--set=training.table_lr=1e-9"]
    assert polyrec("fit", log / "run.toml", "--out", tmp_path / "blind", *slow).code == 0
    assert polyrec("fit", log / "run.toml", "--out", tmp_path / "mmoe", *FASTER).code == 0
    page = tmp_path / "compare.html"
    done = polyrec("compare", tmp_path / "mmoe", "--baseline", tmp_path / "blind", "--out", page)
    assert done.code == 0, done.err
    assert "gained" in done.out
    assert page.read_text().startswith("<!doctype html>")
    alone = polyrec("compare", tmp_path / "mmoe")
    assert alone.code == 2
    assert "at least two" in alone.err


def test_a_run_killed_at_random_moments_ends_with_the_very_same_weights(
    log: Path, polyrec: Command, tmp_path: Path
) -> None:
    settings = ["--set", "training.checkpoint_steps=2", "--set", "training.epochs=6", "--set", "training.patience=99"]
    whole = tmp_path / "whole"
    assert polyrec("fit", log / "run.toml", "--out", whole, *settings).code == 0
    killed, draw, kills = tmp_path / "killed", random.Random(4), 0
    command = [sys.executable, "-m", "polyrec", "fit", log / "run.toml", "--out", killed, *settings, "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    while not (killed / "report.json").exists():
        process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, cwd=tmp_path
        )
        begun = time.monotonic()
        while kills < 4 and not list(killed.glob("checkpoints/*")) and process.poll() is None:
            assert time.monotonic() - begun < 60
            time.sleep(0.02)
        try:
            _, said = process.communicate(timeout=draw.uniform(0.1, 1.5) if kills < 4 else 120)
            assert process.returncode == 0, said.decode()
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
    assert kills
    for name in ("bundle/model.safetensors", "bundle/objective.safetensors"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), f"after {kills} kills"
    assert pq.read_table(killed / "test.parquet").equals(pq.read_table(whole / "test.parquet"))


def test_resuming_where_nothing_is_says_so_and_trains(log: Path, polyrec: Command, tmp_path: Path) -> None:
    command = ("fit", log / "run.toml", "--out", "typo", "--resume", "--only-validate", "--set", "training.epochs=1")
    said = "nothing to resume in typo: training starts\n"
    first = polyrec(*command)
    assert first.code == 0
    assert first.err.count(said) == 1
    assert (tmp_path / "typo" / "validation.json").exists()
    again = polyrec(*command)
    assert (again.code, again.out) == (0, first.out)
    assert said not in again.err


def test_resuming_on_another_schema_is_refused(log: Path, polyrec: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert polyrec("fit", log / "run.toml", "--out", out).code == 0
    (out / "report.json").unlink()
    schema = log / "schema.toml"
    schema.write_text(schema.read_text().replace('side = "item"', 'side = "context"'))
    done = polyrec("fit", log / "run.toml", "--out", out, "--resume")
    assert done.code == 2
    assert "schema changed since" in done.err


def test_a_scenario_that_only_later_rows_have_is_refused_before_training(
    log: Path, polyrec: Command, tmp_path: Path
) -> None:
    rows = pl.read_parquet(log / "log.parquet")
    late = pl.when(pl.int_range(pl.len()) == pl.len() - 1).then(pl.lit("garden")).otherwise(pl.col("tab"))
    rows.with_columns(tab=late).write_parquet(log / "log.parquet")
    done = polyrec("fit", log / "run.toml", "--out", tmp_path / "out")
    assert done.code == 2
    assert "'garden'" in done.err
    assert "unknown_scenario" in done.err
    assert not (tmp_path / "out").exists()
