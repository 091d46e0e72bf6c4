"""A recipe of several stages, from its run file to its folder."""

import json
from dataclasses import replace

import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.config import RunConfig
from polyrec.declare import read_toml
from polyrec.errors import ConfigError
from polyrec.recipes import recipe
from polyrec.recipes.assemble import assemble, plan_of, resolve
from polyrec.recipes.fit import fit
from polyrec.recipes.prepare import prepare
from polyrec.recipes.recipe import Recipe, StageOptions
from polyrec.training import Carry
from polyrec.training.checkpoint import load

TWO = Recipe(
    name="two",
    family="test",
    paper="none",
    summary="experts of everybody, then towers",
    needs="nothing",
    model="mmoe",
    model_options={"experts": 2, "expert_widths": (8,), "dropout": 0.1},
    training={"epochs": 2, "batch_size": 512, "evaluations": 1},
    stages=(
        StageOptions("all", {"lr": 3e-3}, objective="entire_space", keep="last"),
        StageOptions(
            "towers",
            {"epochs": 1},
            {"dropout": 0.0},
            trainable=("towers.*",),
            start="all@1",
            carry=(Carry("all", "gates.", "gates."),),
        ),
    ),
)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setitem(recipe._RECIPES, "two", TWO)


@pytest.fixture
def run(log):
    return RunConfig.load(log / "run.toml", {"recipe": "two", "training": {"lr": 0.01, "threads": 1}, "model": {}})


def test_options_of_a_stage_go_over_those_of_the_recipe_and_the_run_file_over_both(run, log):
    first, second = plan_of(run).stages
    assert (first.training.lr, second.training.lr) == (0.01, 0.01)  # [training] of the run file is for all stages
    assert (first.training.epochs, second.training.epochs) == (2, 1)
    assert (first.objective, second.objective) == ("entire_space", "pointwise")
    one = RunConfig.load(log / "run.toml", {"recipe": "two", "stages.towers.lr": 1e-4, "stages.towers.epochs": 5})
    first, second = plan_of(one).stages
    assert (second.training.lr, second.training.epochs) == (1e-4, 5)
    assert first.training.lr != 1e-4


def test_a_resolved_run_file_is_the_same_run(run):
    whole = resolve(run)
    again = [replace(stage, training=replace(stage.training, balancer=None)) for stage in plan_of(whole).stages]
    assert again == list(plan_of(run).stages)
    assert resolve(whole) == whole
    assert whole.stages == {"all": {}, "towers": {"epochs": 1}}


def test_what_a_stage_is_made_of_goes_over_the_run_file(run):
    layout = prepare(run.data).encoder.layout
    assert assemble(run, layout, "all").model_part.options["dropout"] == 0.1
    last = assemble(run, layout)
    assert last.model_part.options["dropout"] == 0.0
    assert (last.stage.name, last.objective_part.name) == ("towers", "pointwise")


def test_a_stage_that_the_recipe_does_not_have_is_refused(run, log):
    with pytest.raises(ConfigError, match=r"stage 'tower' is not a stage of recipe 'two'. Known: all, towers."):
        plan_of(RunConfig.load(log / "run.toml", {"recipe": "two", "stages.tower.lr": 1.0}))
    with pytest.raises(ConfigError, match=r"\[stages.towers\]: option 'lrr' is not known"):
        plan_of(RunConfig.load(log / "run.toml", {"recipe": "two", "stages.towers.lrr": 1.0}))


def test_a_fit_goes_through_every_stage_and_leaves_the_model_of_the_last(run, tmp_path):
    folder = fit(run, tmp_path / "out")
    kinds = [(line["stage"], line["kind"]) for line in map(json.loads, folder.events.read_text().splitlines())]
    assert [stage for stage, kind in kinds if kind == "end"] == ["all", "towers"]
    search, last = (load(folder.checkpoints / f"{name}.safetensors") for name in ("all", "towers"))
    model = Bundle.load(folder.bundle).model.state_dict()
    snapshot = search.part("snapshots/1/model")
    assert torch.equal(model["experts.networks.layers.0.weight"], snapshot["experts.networks.layers.0.weight"])
    assert torch.equal(model["gates.layer.weight"], search.part("weights/model")["gates.layer.weight"])
    assert not torch.equal(model["gates.layer.weight"], snapshot["gates.layer.weight"])
    assert all(torch.equal(model[name], one) for name, one in last.part("weights/model").items())
    report = json.loads(folder.report.read_text())
    steps = search.values["place"]["step"] + last.values["place"]["step"]
    assert report["run"]["steps"] == steps
    assert read_toml(folder.run)["stages"] == {"towers": {"epochs": 1}}
    assert fit(run, tmp_path / "out", resume=True) == folder


def test_wrong_options_of_all_tables_are_told_at_once(run):
    wrong = replace(run, model={"expert": 3}, objective={"wieght": 1}, training={"lr": 0}, stages={"tower": {}})
    with pytest.raises(ConfigError) as caught:
        resolve(wrong)
    text = str(caught.value)
    assert text.startswith("the run has 4 problems:")
    for part in ("'expert'", "'wieght'", "lr = 0", "stage 'tower'"):
        assert part in text
