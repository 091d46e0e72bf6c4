"""Worlds whose truth is known, from `simulate` to the share of the possible gain."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from polyrec.config import DataConfig, RunConfig
from polyrec.data.simulate import judge, simulate
from polyrec.evaluation.collected import Collected
from polyrec.recipes.fit import fit
from polyrec.recipes.folder import RunFolder
from polyrec.schema import Target

pytestmark = pytest.mark.slow
ROWS, TEST = 60_000, 6_000
CLICK, BUY, CONVERSION = Target("click"), Target("buy"), Target("buy", "click")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two buys in three have no click."""
    out = tmp_path_factory.mktemp("worlds") / "noclick"
    simulate(out, rows=ROWS, days=7, preset="noclick", seed=0)
    return out


@pytest.fixture(scope="module")
def trained(world: Path) -> Callable[..., RunFolder]:
    kept: dict[str, RunFolder] = {}

    def one(name: str, recipe: str, **objective: Any) -> RunFolder:
        if name not in kept:
            data = DataConfig(schema=str(world / "schema.toml"), log=(str(world / "log.parquet"),))
            model = {"name": "mmoe", "dim": 8, "expert_widths": [32], "tower_widths": [16]}
            training = {"epochs": 2, "batch_size": 512, "metric": "log_loss", "table_lr": 0.03, "threads": 1}
            run = RunConfig(recipe, data, model=model, objective=objective, training=training)
            kept[name] = fit(run, world.parent / name)
        return kept[name]

    return one


def said(folder: RunFolder, truth: Path) -> tuple[dict[Target, np.ndarray], dict[str, np.ndarray]]:
    rows = Collected.load(folder.predictions)
    assert len(rows) == TEST
    table = pq.read_table(truth / "truth.parquet").slice(ROWS - TEST)
    known = {name: np.asarray(table[name], np.float64) for name in table.column_names if name.startswith("p_buy")}
    return {target: 1 / (1 + np.exp(-logit.astype(np.float64))) for target, logit in rows.logits.items()}, known


def test_the_unclicked_route_finds_the_conversions_that_click_space_misses(world, trained) -> None:
    ours, true = said(trained("whole", "aem2tl-fixed-weights"), world)
    theirs, _ = said(trained("clicked", "click_only"), world)
    mine, other = judge(ours[BUY], true["p_buy"]), judge(theirs[BUY], true["p_buy"])
    assert mine.log_loss < other.log_loss - 0.03
    assert mine.auc > other.auc + 0.02
    assert 0.8 < mine.pcoc < 1.25
    assert other.pcoc < 0.6


def test_a_model_of_clicked_rows_is_too_high_where_nobody_clicked(world, trained) -> None:
    theirs, true = said(trained("clicked", "click_only"), world)
    past = judge(theirs[CONVERSION], true["p_buy_given_no_click"])
    assert past.pcoc > 1.3


def test_evaluate_tells_the_share_of_the_possible_gain(world, trained, polyrec, tmp_path) -> None:
    folder = trained("whole", "aem2tl-fixed-weights")
    pq.write_table(pq.read_table(world / "log.parquet").slice(ROWS - TEST), tmp_path / "last.parquet")
    out = tmp_path / "again.json"
    done = polyrec(
        "evaluate", folder.bundle, tmp_path / "last.parquet", "--truth", world / "truth.parquet", "--out", out
    )
    assert done.code == 0, done.err
    assert "share_of_gain" in done.out
    cells = {
        (one["scenario"], one["task"], one["space"]): one["value"]
        for one in json.loads(out.read_text())["cells"]
        if one["metric"] == "share_of_gain"
    }
    assert len(cells) == 6 * 5  # five scenarios and all rows; five targets
    assert 0.2 < cells["*", "click", "all"] < 1.0
    wrong = polyrec("evaluate", folder.bundle, world / "log.parquet", "--truth", tmp_path / "last.parquet")
    assert wrong.code == 2
    assert "p_click" in wrong.err
