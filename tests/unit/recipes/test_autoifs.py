"""Recipes of AutoIFS from a run file to a folder, and what the folder says of the flows."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.config import RunConfig
from polyrec.evaluation.figures.flows import flow_pictures, read_flows
from polyrec.metrics.binary import auc
from polyrec.nn.flows import FLOWS
from polyrec.recipes import recipe
from polyrec.recipes.assemble import assemble
from polyrec.recipes.autoifs import RECIPE
from polyrec.recipes.fit import fit
from polyrec.recipes.prepare import prepare
from polyrec.recipes.rows import Rows
from polyrec.training.checkpoint import load

SMALL = {"model.widths": [16], "model.scenario_widths": [8], "model.selector_widths": [8], "training.threads": 1}
NAMES = [name for name in recipe.names() if name.startswith("autoifs")]


def run_of(log, name, **more):
    budget = {"training.batch_size": 512, "stages.search.epochs": 2, "stages.retrain.epochs": 1}
    if len(recipe.get(name).stages) == 1:
        budget = {"training.batch_size": 512, "training.epochs": 1}
    return RunConfig.load(log / "run.toml", {"recipe": name, "training": {}, **SMALL, **budget, **more})


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_runs_and_its_bundle_scores(log, tmp_path, name):
    folder = fit(run_of(log, name), tmp_path / "out")
    report = json.loads(folder.report.read_text())
    assert Bundle.load(folder.bundle).manifest.recipe == name
    if name == "autoifs-noselect":
        assert "flows" not in report
        return
    assert len(report["flows"]) == 2 * 2 * 4
    assert {one["flow"] for one in report["flows"]} == set(FLOWS)
    assert all(0 <= one["kept"] <= 1 for one in report["flows"])
    assert "Information flows" in folder.page.read_text()


def test_the_retrained_gates_are_those_of_the_search_and_of_the_end_of_it(log, tmp_path):
    folder = fit(run_of(log, "autoifs-paper"), tmp_path / "out")
    search, last = (load(folder.checkpoints / f"{name}.safetensors") for name in ("search", "retrain"))
    end, snapshot, found = (search.part("weights/model"), search.part("snapshots/1/model"), last.part("weights/model"))
    table = "inputs.embedding.tables.4.weight"
    assert torch.equal(found[f"selector.{table}"], end[table])
    assert not torch.equal(end[table], snapshot[table])
    assert torch.equal(found["selector.network.end.weight"], end["selector.network.end.weight"])
    assert not torch.equal(found["bottom.layers.0.weight"], end["bottom.layers.0.weight"])


def test_a_search_moves_the_selector_and_the_control_does_not(log, tmp_path):
    moved = {}
    for name in ("autoifs", "autoifs-randomgates"):
        folder = fit(run_of(log, name), tmp_path / name)
        search = load(folder.checkpoints / "search.safetensors")
        moved[name] = search.part("weights/model")["selector.network.weight"]
        snapshot = search.part("snapshots/0/model")["selector.network.weight"]
        assert torch.equal(moved[name], snapshot) == (name == "autoifs-randomgates")
    assert not torch.equal(*moved.values())


def test_the_entire_space_objective_runs_on_it_with_every_balancer(log, tmp_path, monkeypatch):
    whole = replace(RECIPE, name="whole", objective="entire_space", objective_options={"unclicked": True})
    monkeypatch.setitem(recipe._RECIPES, "whole", whole)
    for balancer in ("fixed", "uncertainty", "gradnorm", "pcgrad"):
        folder = fit(run_of(log, "whole", **{"training.balancer": balancer}), tmp_path / balancer)
        heads = {one["head"] for one in json.loads(folder.report.read_text())["flows"]}
        assert heads == {"click", "buy"}


def test_a_flow_that_is_cut_changes_auc_by_what_the_report_says(log, tmp_path):
    run = run_of(log, "autoifs", **{"training.lr": 0.01, "training.table_lr": 0.1})
    folder = fit(run, tmp_path / "out")
    report = json.loads(folder.report.read_text())
    prepared = prepare(run.data)
    rows = Rows(run, prepared)
    model = assemble(run, prepared.encoder.layout).model  # the bundle has lost its idle adapters
    model.load_state_dict(load(folder.checkpoints / "retrain.safetensors").part("weights/model"))
    model.eval()
    batches = list(rows.batches(prepared.splits.test))
    logits = {}
    with torch.no_grad():
        weight = model.selector.network.weight
        plain = torch.where(model.selector.gate._hard(weight) > 0, 1.0, -1.0)
        model.selector.gate.keep_one = False  # gates are set one by one here
        for place, flow in enumerate(FLOWS):
            for value in (None, -1.0, 1.0):
                weight.copy_(plain)
                if value is not None:
                    weight[..., place] = value
                found = torch.cat([model(batch).logits["click"] for batch in batches]).numpy()
                logits[flow, value] = found
    scenario = torch.cat([batch.scenario for batch in batches]).numpy()
    label = torch.cat([batch.labels[:, 0] > 0.5 for batch in batches]).numpy()
    for one in report["flows"]:
        if one["head"] == "click":
            mine = scenario == prepared.encoder.layout.scenarios.index(one["scenario"])
            other = logits[one["flow"], 1.0 if one["kept"] > 0.5 else -1.0]
            before = auc(logits[one["flow"], None][mine], label[mine]).value
            assert one["auc_change"] == pytest.approx(auc(other[mine], label[mine]).value - before, abs=1e-5)
    assert np.abs([one["auc_change"] for one in report["flows"]]).max() > 0


def test_the_picture_names_scenarios_units_and_changes():
    entries = [
        {"scenario": name, "head": head, "flow": flow, "kept": kept, "auc_change": change}
        for name, head in (("home <1>", "click"), ("feed", "click"), ("home <1>", "buy"), ("feed", "buy"))
        for flow, kept, change in zip(FLOWS, (1.0, 0.0, 0.4, 0.9), (-0.02, 0.001, None, -0.003), strict=True)
    ]
    pictures = flow_pictures(read_flows(entries))
    assert list(pictures) == ["click", "buy"]
    text = pictures["click"]
    assert "4 of 8 flows are kept by most rows" in text
    for words in ("home &lt;1&gt;", "own scenario", "shared task", "cut −0.0200", "back +0.0010", "kept 40%"):
        assert words in text
    assert "<1>" not in text
    assert flow_pictures(read_flows([{"kept": None}])) == {}


def test_a_selector_that_reads_rows_is_an_option_of_autoifs_too(log, tmp_path):
    settings = {"model.selector": "row", "model.selector_widths": [8], "stages": {"search": {"epochs": 2}}}
    folder = fit(run_of(log, "autoifs", **settings), tmp_path / "out")
    search, last = (load(folder.checkpoints / f"{name}.safetensors") for name in ("search", "retrain"))
    table = "inputs.embedding.tables.4.weight"
    assert torch.equal(last.part("weights/model")[f"selector.{table}"], search.part("weights/model")[table])
    assert json.loads(folder.report.read_text())["flows"]
