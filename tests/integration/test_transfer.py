"""One target scenario, end to end: what is learned from whom, and that nothing looks ahead."""

import json

import polars as pl
import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.config import RunConfig
from polyrec.data.simulate import simulate
from polyrec.errors import ConfigError
from polyrec.recipes.fit import fit

RUN = """recipe = "ecat"
[data]
schema = "schema.toml"
log = ["log.parquet"]
split = { by = "time", valid = 0.15, test = 0.2 }
[model]
dim = 4
widths = [16, 8]
tower_widths = []
[training]
threads = 1
lr = 0.003
table_lr = 0.05
[transfer]
target = "s3"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "starved"
    simulate(folder, rows=20_000, preset="starved", seed=1)
    (folder / "run.toml").write_text(RUN, encoding="utf-8")
    return folder


def run_of(world, **settings):
    return RunConfig.load(world / "run.toml", {"training.epochs": 2, **settings})


def weights(folder):
    return Bundle.load(folder.bundle).model.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_ecat_tells_where_its_rows_came_from_and_keeps_the_best_ending(world, tmp_path):
    folder = fit(run_of(world), tmp_path / "run")
    report = json.loads(folder.report.read_text())
    told = report["transfer"]
    assert told["target"] == "s3"
    endings = {one["name"]: one for one in told["endings"]}
    assert list(endings) == ["target", "tuned", "transfer", "settled"]
    assert endings["settled"]["gain"] == 0.0
    better = {name: one["gain"] for name, one in endings.items() if one["gain"] > one["error"]}
    assert told["kept"] == (max(better, key=better.get) if better else "settled")
    lines = {one["scenario"]: one for one in told["sources"]}
    assert set(lines) == {"s0", "s1", "s2", "s4", "s5"}
    assert all(one["candidates"] <= one["graph"] <= one["entire"] for one in lines.values())
    assert sum(one["share"] for one in lines.values()) == pytest.approx(1.0, abs=1e-3)
    assert 0 < sum(one["candidates"] for one in lines.values()) < 13 * told["rows"]
    judged = {cell["scenario"] for cell in report["cells"] if cell["n"] and cell["metric"] == "auc"}
    assert judged == {"s3", "*", "macro"}
    page = folder.page.read_text()
    assert "The funnel of rows by source scenario" in page
    assert "the target&#x27;s rows alone" in page or "the target's rows alone" in page


def test_without_weight_and_teacher_the_transfer_is_the_target_alone(world, tmp_path):
    settings = {"transfer.beta": 0.0, "transfer.alpha": 0.0, "training.batch_size": 64}
    alone = fit(run_of(world, recipe="target_only", **{"training.batch_size": 64}), tmp_path / "alone")
    stages = {"transfer": {"batch_size": 64, "epochs": 2}}
    transferred = fit(run_of(world, recipe="ecat-paper", stages=stages, **settings), tmp_path / "paper")
    assert same(weights(alone), weights(transferred))


def test_no_later_row_reaches_teacher_graph_or_classifier(world, tmp_path):
    log = pl.read_parquet(world / "log.parquet")
    cut = round(0.8 * len(log)) + 1
    turned = [pl.when(pl.int_range(pl.len()) > cut).then(1 - pl.col(one)).otherwise(pl.col(one)).alias(one)
              for one in ("click", "action", "buy")]  # fmt: skip
    other = tmp_path / "other"
    other.mkdir()
    log.with_columns(turned).write_parquet(other / "log.parquet")
    (other / "schema.toml").write_text((world / "schema.toml").read_text())
    (other / "run.toml").write_text(RUN)
    found = [
        fit(run_of(one, recipe="ecat-no-guard"), tmp_path / str(place)) for place, one in enumerate((world, other))
    ]
    assert same(*map(weights, found))
    told = [json.loads(one.report.read_text())["transfer"]["sources"] for one in found]
    assert told[0] == told[1]


def test_a_run_without_a_target_and_one_with_an_unknown_target_are_refused(world, tmp_path):
    with pytest.raises(ConfigError, match="for one target scenario"):
        fit(run_of(world, transfer={}), tmp_path / "a")
    with pytest.raises(ConfigError, match=r"'s33'.*Did you mean 's3'"):
        fit(run_of(world, **{"transfer.target": "s33"}), tmp_path / "b")
    with pytest.raises(ConfigError, match="alhpa"):
        fit(run_of(world, **{"transfer.alhpa": 1}), tmp_path / "c")
    assert not any((tmp_path / one).exists() for one in "abc")


def test_other_recipes_refuse_a_transfer(world, tmp_path):
    with pytest.raises(ConfigError, match="is not for recipe 'pooled'"):
        fit(run_of(world, recipe="pooled"), tmp_path / "run")


@pytest.mark.parametrize("model", ["mmoe", "star"])
def test_any_model_may_be_the_student(world, tmp_path, model):
    run = RunConfig.load(
        world / "run.toml", {"recipe": "ecat-no-guard", "training.epochs": 1, "model": {"name": model}}
    )
    assert fit(run, tmp_path / "run").report.exists()


def test_an_interrupted_run_goes_on_to_the_same_weights(world, tmp_path):
    whole = fit(run_of(world, recipe="ecat-no-guard"), tmp_path / "whole")
    broken = tmp_path / "broken"
    fit(run_of(world, recipe="ecat-no-guard"), broken)
    for name in ("report.json", "report.html", "test.parquet"):
        (broken / name).unlink()
    (broken / "checkpoints" / "settled.safetensors").unlink()
    again = fit(run_of(world, recipe="ecat-no-guard"), broken, resume=True)
    assert same(weights(whole), weights(again))
