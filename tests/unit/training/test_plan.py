import pytest
import torch

from polyrec import objectives
from polyrec.config import TrainingConfig
from polyrec.errors import ConfigError
from polyrec.training import Parts, Plan, Stage, run
from polyrec.training.events import read

BUDGET = TrainingConfig(epochs=1)


def builder(setup, made):
    def build(stage, results):
        one = setup()
        one.objective = objectives.build("pointwise", one.loader.epoch(0, start()).__next__()[1].layout)
        made[stage.name] = one
        one.before = {name: value.clone() for name, value in one.model.state_dict().items()}
        one.seen = tuple(results)
        balancer = objectives.balance.build("fixed", one.objective.terms)
        return Parts(one.model, one.objective, balancer, one.loader, one.evaluate)

    return build


def start():
    from polyrec.data.loader import Position

    return Position()


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_stage_starts_from_what_the_one_before_ended_with(setup):
    made = {}
    plan = Plan((Stage("all", BUDGET), Stage("towers", BUDGET, trainable=("towers.*",), start="previous")))
    results = run(plan, builder(setup, made))
    first, second = (results[name].parts.model.state_dict() for name in ("all", "towers"))
    assert torch.equal(first["shared.weight"], second["shared.weight"])
    assert not torch.equal(first["towers.buy.weight"], second["towers.buy.weight"])
    assert made["towers"].seen == ("all",)


def test_a_stage_may_go_back_to_an_earlier_one_or_start_anew(setup):
    made = {}
    frozen = {"trainable": ("towers.buy.bias",)}
    stages = (
        Stage("warm", BUDGET),
        Stage("search", BUDGET, start="previous"),
        Stage("again", BUDGET, start="warm", **frozen),
        Stage("fresh", BUDGET, **frozen),
    )
    results = run(Plan(stages), builder(setup, made))
    weight = {name: one.parts.model.state_dict()["shared.weight"] for name, one in results.items()}
    assert torch.equal(weight["again"], weight["warm"])
    assert not torch.equal(weight["search"], weight["warm"])
    assert torch.equal(weight["fresh"], made["fresh"].before["shared.weight"])


def test_a_plan_that_was_stopped_reads_finished_stages_back(setup, tmp_path):
    stages = (Stage("one", BUDGET), Stage("two", BUDGET, start="previous"))
    torch.manual_seed(5)
    whole = run(Plan(stages), builder(setup, {}), folder=tmp_path / "whole")
    torch.manual_seed(5)
    run(Plan(stages[:1]), builder(setup, {}), folder=tmp_path / "stopped")
    made = {}
    again = run(Plan(stages), builder(setup, made), folder=tmp_path / "stopped", resume=True)
    assert same(again["two"].parts.model.state_dict(), whole["two"].parts.model.state_dict())
    assert made["one"].at == []
    told = [[(line["stage"], line["total_step"]) for line in read(tmp_path / name / "events.jsonl")] for name in NAMES]
    assert told[0] == told[1]
    assert told[0][-1] == ("two", 16)


NAMES = ("whole", "stopped")


def test_a_finished_plan_run_again_tells_nothing_twice(setup, tmp_path):
    plan = Plan((Stage("one", BUDGET), Stage("two", BUDGET, start="previous")))
    run(plan, builder(setup, {}), folder=tmp_path)
    before = (tmp_path / "events.jsonl").read_bytes()
    run(plan, builder(setup, {}), folder=tmp_path, resume=True)
    assert (tmp_path / "events.jsonl").read_bytes() == before


def test_models_that_differ_cannot_follow_each_other(setup):
    made = {}
    plain = builder(setup, made)

    def build(stage, results):
        parts = plain(stage, results)
        if stage.name == "two":
            parts.model.shared = torch.nn.Linear(8, 9)
        return parts

    plan = Plan((Stage("one", BUDGET), Stage("two", BUDGET, start="one")))
    with pytest.raises(
        ConfigError,
        match=r"'two' cannot start from 'one': 'shared.weight' is .8, 8. there and .9, 8. here",
    ):
        run(plan, build)


def test_all_that_is_wrong_with_a_plan_is_told_at_once():
    stages = (Stage("a", BUDGET, start="previous"), Stage("a", BUDGET), Stage("b", BUDGET, start="c"))
    with pytest.raises(ConfigError) as found:
        Plan(stages)
    text = str(found.value)
    assert "stage 'a': start 'previous' is not an earlier stage. Known: scratch." in text
    assert "stage 'a' is there twice" in text
    assert "start 'c' is not an earlier stage. Known: scratch, previous, a, a." in text


def test_a_plan_without_stages_is_refused():
    with pytest.raises(ConfigError, match="no stage"):
        Plan(())


def test_a_pattern_that_fits_no_parameter_is_refused(setup):
    with pytest.raises(
        ConfigError, match=r"pattern 'tower.\*' is not a parameter. Known: shared.\*, table.\*, towers.\*"
    ):
        Stage("a", BUDGET, trainable=("tower.*",)).freeze(setup().model)
