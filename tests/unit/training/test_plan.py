from dataclasses import replace
from signal import SIGINT, raise_signal

import pytest
import torch

from polyrec import objectives
from polyrec.config import TrainingConfig
from polyrec.errors import ConfigError
from polyrec.training import Carry, Evaluation, Interrupted, Parts, Plan, Stage, run
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


LONG = TrainingConfig(epochs=3, evaluations=2, patience=1)
SEARCH = Stage("search", LONG, keep="last")


def test_a_snapshot_is_what_a_stage_had_at_the_start_of_an_epoch(setup):
    torch.manual_seed(1)
    short = setup()
    short.train(stage=Stage("search", TrainingConfig(epochs=2, evaluations=2), keep="last"))
    torch.manual_seed(1)
    frozen = Stage("again", BUDGET, start="search@-1", trainable=("towers.buy.bias",))
    results = run(Plan((SEARCH, frozen)), builder(setup, {}))
    kept = results["search"].weights("model", 2)
    assert same(kept, short.model.state_dict())
    assert torch.equal(results["again"].parts.model.shared.weight, kept["shared.weight"])
    assert not same(kept, results["search"].parts.model.state_dict())


def test_a_stage_that_keeps_its_last_weights_uses_its_budget_up(setup):
    one = setup(scores=[0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    history = one.train(stage=SEARCH)
    assert (history.steps, history.stopped_early) == (24, False)
    assert same(one.at[-1], one.model.state_dict())


def test_weights_may_come_from_several_places_and_under_other_names(setup):
    def build(stage, results):
        parts = plain(stage, results)
        if stage.name == "two":
            parts.model.copied = torch.nn.Linear(8, 8)
        return parts

    plain = builder(setup, {})
    carry = (Carry("search", of="shared.", to="copied."), Carry("search@1", of="towers.click.", to="towers.click."))
    two = Stage("two", BUDGET, start="scratch", carry=carry, trainable=("towers.buy.bias",))
    results = run(Plan((SEARCH, two)), build)
    model, search = results["two"].parts.model, results["search"]
    assert torch.equal(model.copied.weight, search.parts.model.shared.weight)
    assert torch.equal(model.towers["click"].weight, search.weights("model", 1)["towers.click.weight"])
    assert not torch.equal(model.shared.weight, search.parts.model.shared.weight)


def test_a_stage_goes_on_with_the_base_rates_of_the_objective_before(setup):
    plan = Plan((Stage("one", BUDGET), Stage("two", BUDGET, start="one"), Stage("other", BUDGET, "train", "esmm")))
    results = run(plan, builder(setup, {}))
    start = {name: one.parts.objective.start for name, one in results.items()}
    assert start["one"].any()
    assert torch.equal(start["two"], start["one"])


@pytest.mark.parametrize("step", [5, 13, 21, 24 + 3])
def test_a_rewound_plan_stopped_anywhere_ends_with_the_very_same_weights(setup, tmp_path, step):
    plan = Plan((SEARCH, Stage("again", TrainingConfig(epochs=2), start="search@1", carry=CARRY)))
    torch.manual_seed(3)
    whole = run(plan, builder(setup, {}))
    torch.manual_seed(3)
    stopped = stopping(builder(setup, {}), step)
    with pytest.raises(Interrupted):
        run(plan, stopped, folder=tmp_path)
    again = run(plan, builder(setup, {}), folder=tmp_path, resume=True)
    for name in ("search", "again"):
        assert same(again[name].parts.model.state_dict(), whole[name].parts.model.state_dict())
        assert same(again[name].parts.objective.state_dict(), whole[name].parts.objective.state_dict())


CARRY = (Carry("search", of="shared.", to="shared."),)


def stopping(build, step):
    """Ctrl-C while batch number `step` of a plan is being made for training."""
    made, begun = [], []

    def with_a_stop(stage, results):
        parts = build(stage, results)
        plain = parts.loader.epoch

        def epoch(number, start):
            begun.append(1)
            for after, batch in plain(number, start):
                if len(begun) > 1:  # the first pass only looks at base rates
                    made.append(1)
                    if len(made) == step:
                        raise_signal(SIGINT)
                yield after, batch

        parts.loader.epoch = epoch
        return parts

    return with_a_stop


def test_a_snapshot_that_was_never_reached_is_refused_with_the_remedy(setup):
    plain = builder(setup, {})

    def build(stage, results):
        scores = iter([0.9, 0.1])
        return replace(plain(stage, results), evaluate=lambda: Evaluation(next(scores), {}))

    plan = Plan((Stage("search", LONG), Stage("again", BUDGET, start="search@2")))
    with pytest.raises(ConfigError, match=r"'again' goes back to the start of epoch 2 of stage 'search', which ended"):
        run(plan, build)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("search@3", r"start 'search@3': stage 'search' has epochs 0 to 2. Name one of them, or count from the end"),
        ("search@-4", r"start 'search@-4': stage 'search' has epochs 0 to 2"),
        ("search@last", r"start 'search@last': stage 'search' has epochs 0 to 2"),
        ("serch@1", r"start 'serch@1' is not an earlier stage. Known: scratch, previous, search"),
    ],
)
def test_an_epoch_that_is_not_there_is_refused(start, words):
    with pytest.raises(ConfigError, match=words):
        Plan((SEARCH, Stage("again", BUDGET, start=start)))


def test_a_carry_from_nowhere_is_refused(setup):
    with pytest.raises(ConfigError, match=r"carry 'serch' is not an earlier stage. Known: search"):
        Plan((SEARCH, Stage("again", BUDGET, carry=(Carry("serch"),))))
    with pytest.raises(ConfigError, match=r"nothing in 'search' has a name that begins with 'tower\.'"):
        run(Plan((SEARCH, Stage("again", BUDGET, carry=(Carry("search", "tower.", "x."),)))), builder(setup, {}))
    with pytest.raises(ConfigError, match=r"cannot start from 'scratch', 'search': 'x.weight' is only there"):
        run(Plan((SEARCH, Stage("again", BUDGET, carry=(Carry("search", "shared.", "x."),)))), builder(setup, {}))


def test_a_paced_module_is_told_how_far_its_stage_has_come(setup):
    class Told(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.told = []

        def pace(self, epoch, epochs):
            self.told.append((epoch, epochs))

    one = setup()
    one.model.ramp = Told()
    one.train(epochs=2)
    told = one.model.ramp.told
    assert told[:3] == [(0.0, 2), (0.125, 2), (0.25, 2)]
    assert (len(told), told[8], told[-1]) == (16, (1.0, 2), (1.875, 2))
