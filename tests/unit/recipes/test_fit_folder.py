"""Whose folder it is, and what is told before training."""

import json

import polars as pl
import pytest

from polyrec.config import RunConfig
from polyrec.errors import ConfigError
from polyrec.recipes import recipe
from polyrec.recipes.fit import fit
from polyrec.recipes.folder import RunFolder
from polyrec.schema import Task


def test_a_folder_is_trained_in_by_one_process_at_a_time(log, tmp_path):
    folder = RunFolder(tmp_path / "run")
    run = RunConfig.load(log / "run.toml", {"training.epochs": 1, "training.threads": 1})
    with folder.held(), pytest.raises(ConfigError, match="another process is training in it"):
        fit(run, folder.path)
    assert fit(run, folder.path).report.exists()


def test_a_task_that_happens_where_it_cannot_is_told_before_training(log, tmp_path):
    rows = pl.read_parquet(log / "log.parquet").with_columns(is_buy=(pl.col("user_id") % 7 == 0).cast(pl.Int8))
    rows.write_parquet(log / "log.parquet")
    told = []
    fit(
        RunConfig.load(log / "run.toml", {"training.epochs": 1, "training.threads": 1}),
        tmp_path / "run",
        log=told.append,
    )
    (warning,) = [one for one in told if "happens in" in one]
    assert "'buy' happens in" in warning
    assert "without 'click'" in warning
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert any("happens in" in one.get("text", "") for one in events)


def test_esm2_refuses_a_schema_in_which_it_would_be_esmm(log, tmp_path):
    run = RunConfig.load(log / "run.toml", {"recipe": "esm2"})
    with pytest.raises(ConfigError, match=r"'esm2' needs a task with via, and none of click, buy has one.* add via ="):
        fit(run, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert recipe.get("esm2").check((Task("a", "a"), Task("b", "b", "a"), Task("c", "c", "a", via="b"))) is None


def test_the_split_is_told_before_training(log, tmp_path):
    told, options = [], {"training.epochs": 1, "training.threads": 1}
    fit(RunConfig.load(log / "run.toml", options), tmp_path / "time", log=told.append)
    assert [line.split(":")[0] for line in told[:3]] == ["train", "valid", "test"]
    assert "rows, day < " in told[0]
    run = RunConfig.load(log / "run.toml", options | {"data.split": {"by": "random"}})
    told.clear()
    fit(run, tmp_path / "random", log=told.append)
    assert told[0].endswith("80% of the rows, at random")


def test_a_scenario_that_no_validation_or_test_row_has_is_told_before_training(log, tmp_path):
    rows = pl.read_parquet(log / "log.parquet")
    rows.filter((pl.col("tab") == "home") | (pl.col("day") < 10)).write_parquet(log / "log.parquet")
    told = []
    run = RunConfig.load(log / "run.toml", {"training.epochs": 1, "training.threads": 1})
    fit(run, tmp_path / "run", log=told.append)
    valid, test = (line for line in told if "has no row of" in line)
    assert "warning: valid has no row of scenario 'search'" in valid
    assert "warning: test has no row of scenario 'search'" in test
