"""One target scenario, end to end: what is learned from whom, and that nothing looks ahead."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.config import RunConfig
from polyrec.data.held import join
from polyrec.data.simulate import simulate
from polyrec.errors import ConfigError
from polyrec.recipes.endings import Ending, verdict
from polyrec.recipes.fit import fit
from polyrec.recipes.prepare import prepare
from polyrec.recipes.taught import taught
from polyrec.recipes.transferring import DOUBT, TEACHER, Transfer

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


@pytest.mark.slow
def test_ecat_tells_where_its_rows_came_from_and_keeps_the_best_ending(world, tmp_path):
    folder = fit(run_of(world), tmp_path / "run")
    report = json.loads(folder.report.read_text())
    told = report["transfer"]
    assert told["target"] == "s3"
    endings = {one["name"]: one for one in told["endings"]}
    assert list(endings) == ["teacher", "target", "tuned", "transfer", "settled"]
    found = [Ending(**one) for one in told["endings"]]
    assert told["verdict"] == verdict(found, told["kept"], len(transfer_of(world).portions.judging))
    assert {"placebo", "related", "tuned", "verdict"} <= set(told)
    assert Bundle.load(folder.path / TEACHER).manifest.trained_on["spared"] == {"scenario": "s3", "share": 0.5}
    assert len(told["tuned"]["tried"]) == 5
    assert endings["settled"]["gain"] == 0.0
    better = {name: one["gain"] for name, one in endings.items() if one["gain"] > told["margin"] * one["error"]}
    assert told["kept"] == (max(better, key=better.get) if better else "settled")
    lines = {one["scenario"]: one for one in told["sources"]}
    assert set(lines) == {"s0", "s1", "s2", "s4", "s5"}
    assert all(one["candidates"] <= one["graph"] <= one["entire"] for one in lines.values())
    assert sum(one["candidates"] for one in lines.values()) < 13 * told["rows"]
    assert all(one["candidates"] == 0 for one in lines.values() if one["relation"] == 0)
    judged = {cell["scenario"] for cell in report["cells"] if cell["n"] and cell["metric"] == "auc"}
    assert judged == {"s3", "*", "macro"}
    daily, cells = told["daily"], {(one["scenario"], one["task"], one["space"], one["metric"]): one
                                   for one in report["cells"]}  # fmt: skip
    assert list(daily["endings"]) == ["teacher", "target", "tuned", "transfer", "settled"]
    for task, one in daily["endings"][told["kept"]].items():
        whole = cells["s3", task, "all", "log_loss"]
        assert (sum(daily["rows"][task]), sum(daily["positives"][task])) == (whole["n"], whole["positives"])
        mean = np.average(one["log_loss"], weights=daily["rows"][task])
        assert mean == pytest.approx(whole["value"], abs=1e-5)
    drawn = {name: sum(one["rows"]) for name, one in told.get("accepted", {"sources": {}})["sources"].items()}
    assert drawn == {name: one["candidates"] for name, one in lines.items() if one["candidates"]}
    page = folder.page.read_text()
    assert "Log-loss of click over time" in page
    assert "The funnel of rows by source scenario" in page
    assert "the target&#x27;s rows alone" in page or "the target's rows alone" in page


def transfer_of(world, **settings):
    run = run_of(world, **settings)
    return Transfer.of(run, prepare(run.data))


def test_rows_that_stop_and_rows_that_judge_share_no_user(world):
    transfer = transfer_of(world)
    stop = transfer.portions.stopping.prepared.splits.valid
    users = [
        set(one.user.tolist())
        for one in (join(list(transfer.portions.stopping.batches(stop))), transfer.portions.judging)
    ]
    assert all(users)
    assert not users[0] & users[1]
    assert stop.rows() + len(transfer.portions.judging) == transfer.portions.rows.prepared.splits.valid.rows()
    others = transfer.portions.teaching.prepared.splits.valid.rows()
    assert others == transfer.portions.everywhere.prepared.splits.valid.rows() - len(transfer.portions.judging)


def test_relations_are_asked_about_rows_that_the_teacher_is_not_shown(world):
    transfer = transfer_of(world)
    train = transfer.portions.shown.prepared.splits.train
    place = transfer.portions.everywhere.prepared.encoder.layout.scenarios.index("s3")
    shown = join(list(transfer.portions.everywhere.batches(train)))
    mine = shown.select(torch.nonzero(shown.scenario == place)[:, 0])
    apart = len(transfer.portions.target) - len(mine)
    assert 0.1 * len(transfer.portions.target) < apart < 0.4 * len(transfer.portions.target)
    assert train.rows() == transfer.portions.everywhere.prepared.splits.train.rows() - apart
    stop = transfer.portions.stopping.prepared.splits.valid.rows()
    assert len(transfer.portions.unseen) == stop + apart
    unseen = transfer.portions.unseen.select(torch.arange(stop, stop + apart))
    assert not set(unseen.user.tolist()) & set(mine.user.tolist())


def test_a_window_looks_at_the_last_days_alone(world):
    rows = [transfer_of(world, **{"transfer.window": days}).portions.window.rows() for days in (1, 3, 1000)]
    assert 0 < rows[0] < rows[1] < rows[2]
    assert rows[2] == transfer_of(world).portions.window.rows()


@pytest.mark.slow
def test_a_teacher_of_an_earlier_run_is_taken_as_it_is(world, tmp_path):
    first = fit(run_of(world, recipe="ecat-no-guard"), tmp_path / "first")
    teacher = str(first.path / TEACHER)
    assert Bundle.load(teacher).manifest.trained_on["held"] == {"scenario": "s3", "share": 0.25}
    lines = []
    settings = {"recipe": "ecat", "transfer.teacher": teacher}
    again = fit(run_of(world, **settings), tmp_path / "again", log=lines.append)
    told = json.loads(again.report.read_text())["transfer"]
    assert told["verdict"] + "." in lines
    assert told["verdict"].endswith(DOUBT)  # without a guard, it has stopped on all validation rows
    assert not (again.path / TEACHER).exists()
    assert not (again.checkpoints / "teacher.safetensors").exists()
    mine = transfer_of(world, **settings)
    assert mine.portions.held == 0.25
    assert same(mine.given()[TEACHER].weights("model"), Bundle.load(teacher).model.state_dict())


@pytest.mark.slow
def test_a_teacher_that_saw_what_it_would_be_judged_on_or_encodes_otherwise_is_refused(world, tmp_path):
    first = fit(run_of(world, recipe="pooled", transfer={}), tmp_path / "first")
    earlier = {"data.split": {"by": "time", "valid": 0.3, "test": 0.3}, "transfer.teacher": str(first.bundle)}
    with pytest.raises(ConfigError, match="may have seen what it would be judged on"):
        fit(run_of(world, **earlier), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    run = run_of(world, **{"transfer.teacher": str(first.bundle)})
    prepared = prepare(run.data)
    assert Transfer.of(run, prepared).portions.held == 0.0
    layout = prepared.encoder.layout
    fewer = replace(prepared, encoder=SimpleNamespace(layout=replace(layout, numeric=layout.numeric[1:])))
    with pytest.raises(ConfigError, match=r"encodes rows otherwise than this run \(numeric\)"):
        taught(str(first.bundle), fewer, None)


@pytest.mark.slow
def test_ctnet_leaves_its_source_as_it_was(world, tmp_path):
    folder = fit(run_of(world, recipe="ctnet"), tmp_path / "run")
    found, teacher = weights(folder), Bundle.load(folder.path / TEACHER).model.state_dict()
    sources = [name for name in found if name.startswith("source.")]
    assert sources
    assert all(torch.equal(found[name], teacher[name.removeprefix("source.")]) for name in sources)
    assert any(not torch.equal(found[name.removeprefix("source.")], found[name]) for name in sources)


def test_a_static_teacher_learns_from_the_first_half_of_the_time(world):
    portions = transfer_of(world, recipe="ecat-static-teacher").portions
    past, shown = (one.prepared.splits.train.rows() for one in (portions.past, portions.shown))
    assert 0.2 * shown < past < 0.8 * shown


@pytest.mark.slow
def test_domain_adversarial_training_leaves_a_bundle_of_its_base(world, tmp_path):
    folder = fit(run_of(world, recipe="dann"), tmp_path / "run")
    assert Bundle.load(folder.bundle).manifest.objective.name == "pointwise"


def test_without_weight_and_teacher_the_transfer_is_the_target_alone(world, tmp_path):
    settings = {"transfer.beta": 0.0, "transfer.alpha": 0.0, "training.batch_size": 64}
    alone = fit(run_of(world, recipe="target_only", **{"training.batch_size": 64}), tmp_path / "alone")
    stages = {"transfer": {"batch_size": 64, "epochs": 2}}
    transferred = fit(run_of(world, recipe="ecat-paper", stages=stages, **settings), tmp_path / "paper")
    assert same(weights(alone), weights(transferred))


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_weights(world, tmp_path):
    whole = fit(run_of(world, recipe="ecat-no-guard"), tmp_path / "whole")
    broken = tmp_path / "broken"
    fit(run_of(world, recipe="ecat-no-guard"), broken)
    for name in ("report.json", "report.html", "test.parquet"):
        (broken / name).unlink()
    (broken / "checkpoints" / "settled.safetensors").unlink()
    again = fit(run_of(world, recipe="ecat-no-guard"), broken, resume=True)
    assert same(weights(whole), weights(again))
