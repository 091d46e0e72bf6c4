"""A scenario comes and goes, and nobody else notices."""

import json
from dataclasses import replace

import polars as pl
import pytest
import torch

from polyrec import models
from polyrec.artifact import Bundle
from polyrec.artifact.manifest import Part
from polyrec.config import RunConfig, TrainingConfig
from polyrec.errors import ConfigError, DataError
from polyrec.metrics.binary import auc as area
from polyrec.nn.route import Route
from polyrec.recipes.adapt import adapt
from polyrec.recipes.adapters import adapters, difference, merged, without, without_idle
from polyrec.recipes.fit import fit
from polyrec.testing import random_batch

SMALL = {
    "model.scenario_feature": True,
    "model.widths": [16],
    "model.scenario_widths": [8, 6],
    "training.threads": 1,
    "training.batch_size": 512,
}
LEARNED = {"training.lr": 0.01, "training.table_lr": 0.1, "training.epochs": 6}
BUDGET = TrainingConfig(epochs=4, batch_size=64, lr=0.02, evaluations=1, patience=4, metric="log_loss", threads=1)


@pytest.fixture
def trained(log, tmp_path):
    """A model of two scenarios, and rows of a third that wants what costs more."""
    run = RunConfig.load(log / "run.toml", {"recipe": "autoifs-noselect", "training": {}, **SMALL, **LEARNED})
    folder = fit(run, tmp_path / "fitted")
    rows = pl.read_parquet(log / "log.parquet").sample(1500, seed=1).sort("day")
    wanted = (pl.col("price").fill_null(0.0) > 7.0) ^ (pl.col("user_id") % 10 == 0)
    mini = rows.with_columns(tab=pl.lit("mini"), is_click=wanted.cast(pl.Int8))
    mini = mini.with_columns(is_buy=(pl.col("is_click") * (pl.col("user_id") % 2)).cast(pl.Int8))
    mini.write_parquet(log / "mini.parquet")
    return folder.path, str(log / "mini.parquet")


def logits(bundle, batch):
    return torch.stack(list(bundle.logits(batch).values()))


@pytest.mark.parametrize("start", ["zero", "nearest", "home"])
def test_old_scenarios_score_the_very_same_and_the_new_one_learns(trained, tmp_path, start):
    fitted, mini = trained
    found = adapt(fitted, "mini", [mini], tmp_path / "out", start=start, training=BUDGET)
    before, after = Bundle.load(fitted / "bundle"), Bundle.load(found.bundle)
    assert after.encoder.layout.scenarios == (*before.encoder.layout.scenarios, "mini")
    batch = random_batch(before.encoder.layout, 400, seed=3)
    assert torch.equal(logits(before, batch), logits(after, batch))
    assert difference(before, after) == {"mini": "added"}
    told = json.loads(found.report.read_text())
    assert told["adapted"]["start"] == (start if start != "nearest" else told["adapted"]["start"])
    auc = {(c["scenario"], c["task"], c["space"]): c["value"] for c in told["cells"] if c["metric"] == "auc"}
    rows = pl.read_parquet(mini)
    unadapted = before.encoder.encode(rows.with_columns(tab=pl.lit("home")).to_arrow())
    old = before.probabilities(unadapted)
    click = next(one for target, one in old.items() if target.name == "click")
    plain = area(click.numpy(), unadapted.labels[:, 0].numpy() > 0.5).value
    assert auc["mini", "click", "all"] > plain + 0.3


def test_a_second_scenario_leaves_the_first_alone_and_either_goes_without_a_trace(trained, tmp_path):
    fitted, mini = trained
    other = tmp_path / "other.parquet"
    pl.read_parquet(mini).with_columns(tab=pl.lit("other")).write_parquet(other)
    one = adapt(fitted, "mini", [mini], tmp_path / "one", training=BUDGET)
    two = adapt(one.path, "other", [str(other)], tmp_path / "two", training=BUDGET)
    base, first, second = (Bundle.load(path) for path in (fitted / "bundle", one.bundle, two.bundle))
    assert difference(first, second) == {"other": "added"}
    assert [entry["scenario"] for entry in second.manifest.trained_on["adapted"]] == ["mini", "other"]
    assert difference(base, without(without(second, "mini"), "other")) == {}
    batch = random_batch(base.encoder.layout, 200, seed=5)
    assert torch.equal(logits(base, batch), logits(without(without(second, "other"), "mini"), batch))
    assert [one.scenario for one in adapters(second)] == ["home", "search", "mini", "other"]
    assert all(one.norm > 0 for one in adapters(second))
    with torch.no_grad():
        second.model.scenario.own[0].up[1] += 0.5
        second.model.bottom.layers[0].weight += 0.25
    changed = difference(first, second)
    assert changed["search"] == "changed by 0.5"
    assert changed["*"] == "changed by 0.25"
    assert "home" not in changed


def test_dense_weights_do_what_shared_and_own_units_do_together(trained):
    fitted, _ = trained
    bundle = Bundle.load(fitted / "bundle")
    batch = random_batch(bundle.encoder.layout, 50, seed=2)
    batch = batch.select(torch.nonzero(batch.scenario == 1)[:, 0])
    with torch.no_grad():
        model = bundle.model
        h = model.bottom(model.inputs(batch))
        full = model.scenario(h, Route(batch.scenario, 2, unknown="shared")).full
        for place, (weight, bias) in enumerate(merged(model, 1)):
            h = (torch.relu(h) if place else h) @ weight.T + bias
    assert torch.allclose(h, full, atol=1e-5)


def test_mistakes_are_told_in_words(trained, tmp_path, log):
    fitted, mini = trained
    with pytest.raises(ConfigError, match=r"scenario 'home' is in the bundle already. Known: home, search"):
        adapt(fitted, "home", [mini], tmp_path / "out")
    with pytest.raises(DataError, match=r"no train row has 'tab' = 'maxi': nothing to learn from"):
        adapt(fitted, "maxi", [str(log / "log.parquet")], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"scenario 'hom' is not in the bundle. Known: zero, nearest, home, search"):
        adapt(fitted, "mini", [mini], tmp_path / "out", start="hom")
    with pytest.raises(ConfigError, match=r"--out .* is not empty"):
        adapt(fitted, "mini", [mini], fitted)
    bundle = Bundle.load(fitted / "bundle")
    with pytest.raises(ConfigError, match=r"scenario 'maxi' is not in the bundle"):
        without(bundle, "maxi")
    with pytest.raises(ConfigError, match=r"scenario 'search' is the only one"):
        without(without(bundle, "home"), "search")
    plain = fit(RunConfig.load(log / "run.toml", {"recipe": "pooled", "training.epochs": 1}), tmp_path / "pooled")
    with pytest.raises(
        ConfigError, match=r"model 'pooled' has no adapters by scenario. Train a recipe on model 'autoifs'"
    ):
        adapt(plain.path, "mini", [mini], tmp_path / "out")


@pytest.mark.parametrize("fusion", ["increment", "select"])
@pytest.mark.parametrize("idle", [[0], [0, 1]])
def test_adapters_that_no_row_keeps_are_removed_and_no_score_moves(trained, tmp_path, fusion, idle):
    fitted, mini = trained
    bundle = Bundle.load(fitted / "bundle")
    options = {**bundle.manifest.model.options, "fusion": fusion, "gates": "hard", "adapters": None}
    heads = bundle.objective.heads
    torch.manual_seed(0)
    model = models.build("autoifs", bundle.encoder.layout, heads, options).eval()
    with torch.no_grad():
        for one in model.parameters():
            one.normal_()
        model.selector.network.weight.copy_(-model.selector.network.weight.abs())
        weight = model.selector.network.weight
        for place in idle:
            weight[place][:, 1], weight[place][:, 3] = 1.0, 1.0
    manifest = replace(bundle.manifest, model=Part("autoifs", options))
    whole = replace(bundle, manifest=manifest, model=model)
    small = without_idle(whole)
    batch = random_batch(bundle.encoder.layout, 300, seed=4, unknown=0.1)
    assert torch.equal(logits(whole, batch), logits(small, batch))
    names = bundle.encoder.layout.scenarios
    kept = [name for place, name in enumerate(names) if place not in idle]
    assert small.manifest.model.options["adapters"] == kept
    count = sum(one.numel() for one in whole.model.scenario.own.parameters())
    left = sum(one.numel() for one in small.model.scenario.own.parameters())
    assert left == count * len(kept) // len(names)
    assert without_idle(small) is small
    small.save(tmp_path / "small", pl.read_parquet(mini).with_columns(tab=pl.lit("home")).head(8).to_arrow())
    again = adapt(tmp_path / "small", "mini", [mini], tmp_path / "out", training=BUDGET)
    known = batch.select(torch.nonzero(batch.scenario >= 0)[:, 0])
    assert torch.equal(logits(small, known), logits(Bundle.load(again.bundle), known))


def test_what_cannot_be_pruned_is_given_back_as_it_is(trained):
    fitted, _ = trained
    bundle = Bundle.load(fitted / "bundle")
    options = {**bundle.manifest.model.options, "fusion": "subtract", "gates": "hard", "adapters": None}
    model = models.build("autoifs", bundle.encoder.layout, bundle.objective.heads, options)
    model.selector.network.weight.data.fill_(1.0)
    one = replace(bundle, model=model)
    assert without_idle(one) is one
