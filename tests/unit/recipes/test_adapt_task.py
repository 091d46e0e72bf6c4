"""A task is added, and no old score moves."""

import json

import polars as pl
import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.config import RunConfig, TrainingConfig
from polyrec.errors import ConfigError, DataError, SchemaError
from polyrec.recipes.adapt_task import add_task, with_task
from polyrec.recipes.fit import fit
from polyrec.schema import Target, Task
from polyrec.testing import random_batch

SMALL = {
    "model.widths": [16],
    "model.scenario_widths": [8, 6],
    "training.threads": 1,
    "training.batch_size": 512,
    "training.epochs": 1,
}
LEARNED = {"training.lr": 0.01, "training.table_lr": 0.1, "training.epochs": 6, "model.scenario_feature": True}
BUDGET = TrainingConfig(epochs=6, batch_size=256, lr=0.02, evaluations=1, patience=6, metric="log_loss", threads=1)


@pytest.fixture
def shares(log):
    """Two labels that no known task is: one after a click, where no buy was; one that needs no click."""
    rows = pl.read_parquet(log / "log.parquet")
    label = (pl.col("is_click") * (1 - pl.col("is_buy"))).cast(pl.Int8)
    free = (pl.col("price").fill_null(0.0) > 9.0).cast(pl.Int8)
    rows.with_columns(is_share=label, is_like=free).write_parquet(log / "shares.parquet")
    return str(log / "shares.parquet")


def trained(log, out, recipe="autoifs-noselect", **settings):
    return fit(RunConfig.load(log / "run.toml", {"recipe": recipe, "training": {}, **SMALL, **settings}), out).path


def old_logits(bundle, batch, targets):
    found = bundle.logits(batch)
    return torch.stack([found[target] for target in targets])


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("autoifs-noselect", {}),
        ("autoifs", {}),
        ("autoifs-select", {}),
        (
            "autoifs-paper",
            {"model.selector_widths": [8], "stages": {"search": {"epochs": 2}, "retrain": {"epochs": 1}}},
        ),
        ("autoifs-noselect", {"model.fusion": "subtract"}),
    ],
)
def test_old_tasks_score_the_very_same_in_every_scenario(log, shares, tmp_path, recipe, settings):
    fitted = trained(log, tmp_path / "fitted", recipe, **settings)
    found = add_task(fitted, Task("share", "is_share", after="click"), [shares], tmp_path / "out", training=BUDGET)
    before, after = Bundle.load(fitted / "bundle"), Bundle.load(found.bundle)
    batch = random_batch(before.encoder.layout, 400, seed=3)
    targets = before.encoder.layout.targets
    assert torch.equal(old_logits(before, batch, targets), old_logits(after, batch, targets))
    assert {Target("share"), Target("share", "click")} <= set(after.encoder.layout.targets)


def test_the_new_task_learns_from_what_the_old_ones_know(log, shares, tmp_path):
    fitted = trained(log, tmp_path / "fitted", **LEARNED)
    found = add_task(fitted, Task("like", "is_like"), [shares], tmp_path / "out", training=BUDGET)
    told = json.loads(found.report.read_text())
    cells = {(c["scenario"], c["task"], c["space"], c["metric"]): c["value"] for c in told["cells"]}
    assert cells["*", "like", "all", "auc"] > 0.8
    assert cells["*", "like", "all", "pcoc"] == pytest.approx(1.0, abs=0.1)
    assert told["adapted"] == {"task": "like", "after": None, "strict": True}
    manifest = Bundle.load(found.bundle).manifest
    assert manifest.trained_on["adapted"][-1]["task"] == "like"
    assert found.page.exists()


def test_a_task_that_needs_no_parent_has_both_heads(log, shares, tmp_path):
    fitted = trained(log, tmp_path / "fitted")
    task = Task("like", "is_like", after="click", strict=False)
    found = add_task(fitted, task, [shares], tmp_path / "out", training=BUDGET)
    bundle = Bundle.load(found.bundle)
    assert bundle.objective.heads[-2:] == ("like", "like|click")
    again = add_task(
        found.path, Task("share", "is_share", after="click"), [shares], tmp_path / "again", training=BUDGET
    )
    before, after = bundle, Bundle.load(again.bundle)
    batch, targets = random_batch(before.encoder.layout, 100, seed=1), before.encoder.layout.targets
    assert torch.equal(old_logits(before, batch, targets), old_logits(after, batch, targets))


def test_a_log_of_one_moment_is_split_as_told(log, shares, tmp_path):
    fitted = trained(log, tmp_path / "old")
    pl.read_parquet(shares).with_columns(day=pl.lit(7)).write_parquet(tmp_path / "day.parquet")
    data, task = [str(tmp_path / "day.parquet")], Task("share", "is_share")
    with pytest.raises(DataError, match=r"1 different values.*Split by user or at random: .*--split of adapt"):
        add_task(fitted, task, data, tmp_path / "a", training=BUDGET)
    assert add_task(fitted, task, data, tmp_path / "b", by="user", training=BUDGET).report.exists()


def test_it_starts_at_what_all_heads_share(log, tmp_path):
    bundle = Bundle.load(trained(log, tmp_path / "fitted") / "bundle")
    grown = with_task(bundle, Task("share", "is_share"))
    batch = random_batch(bundle.encoder.layout, 50, seed=1)
    with torch.no_grad():
        output, model = grown.model(batch), grown.model
        shared = model.task.both(torch.zeros(1, 6))[-1] - model.task.common(torch.zeros(1, 6))[0]
    assert float(shared.abs().max()) == 0.0  # its own units add nothing yet
    assert "share" in output.logits


def test_what_cannot_be_added_is_refused(log, shares, tmp_path):
    fitted = trained(log, tmp_path / "fitted")
    with pytest.raises(ConfigError, match="'click' is in the bundle already"):
        add_task(fitted, Task("click", "is_share"), [shares], tmp_path / "a")
    with pytest.raises(SchemaError, match="clik"):
        add_task(fitted, Task("share", "is_share", after="clik"), [shares], tmp_path / "b")
    with pytest.raises(DataError, match="is_shared"):
        add_task(fitted, Task("share", "is_shared"), [shares], tmp_path / "c")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "kept").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        add_task(fitted, Task("share", "is_share"), [shares], tmp_path / "d")
    pooled = fit(
        RunConfig.load(log / "run.toml", {"recipe": "pooled", "training.epochs": 1, "training.threads": 1}),
        tmp_path / "p",
    )
    with pytest.raises(ConfigError, match="has no units by task"):
        add_task(pooled.path, Task("share", "is_share"), [shares], tmp_path / "e")
