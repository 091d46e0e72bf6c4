"""Whose folder it is, and what is told before training."""

import json

import polars as pl
import pytest

from polyrec.config import RunConfig
from polyrec.errors import ConfigError
from polyrec.recipes.fit import fit
from polyrec.recipes.folder import RunFolder


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
