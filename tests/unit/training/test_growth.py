"""What was learned stays where it was when values and scenarios are added."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from polyrec import objectives
from polyrec.config import TrainingConfig
from polyrec.errors import ConfigError
from polyrec.models import names
from polyrec.models.registry import entry
from polyrec.objectives.vectors import Frequencies
from polyrec.testing import example_layout, random_batch
from polyrec.testing.subject import HEADS, Subject
from polyrec.training.growth import Growth
from polyrec.training.optim import Optimizer


def larger(layout, scenarios):
    """The same layout with more values of every field but one, and more scenarios."""

    def grown(fields):
        return tuple(replace(one, size=one.size + (0 if one.name == "hour" else 7)) for one in fields)

    return replace(
        layout,
        scenarios=tuple(f"s{place}" for place in range(scenarios)),
        categorical=grown(layout.categorical),
        sequences=grown(layout.sequences),
    )


def grown_pair(model, scenarios=5):
    layout = example_layout(3)
    wide = larger(layout, scenarios)
    subject = Subject.of(model)
    old, new = subject.stirred(layout, seed=0), subject.fresh(wide, seed=1).eval()
    growth = Growth.between(old, new, scenarios=(3, scenarios))
    new.load_state_dict(growth.weights(old.state_dict(), new.state_dict()))
    return layout, wide, old, new, growth


def reads_others(model):
    return getattr(entry(model).model, "reads_other_scenarios", False)


@pytest.mark.parametrize("model", names())
@pytest.mark.parametrize("scenarios", [3, 5])
def test_rows_of_known_scenarios_and_values_score_as_before(model, scenarios):
    if scenarios > 3 and reads_others(model):
        pytest.skip(f"{model} reads other scenarios, so also the new ones: it says so itself")
    layout, wide, old, new, _ = grown_pair(model, scenarios)
    batch = random_batch(layout, 64)
    before = old(batch).logits
    after = new(replace(batch, layout=wide)).logits
    for head in HEADS:
        torch.testing.assert_close(after[head], before[head], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("model", names())
def test_a_new_scenario_and_new_values_can_be_scored_and_trained(model):
    if model == "hmoe":
        with pytest.raises(ConfigError, match="cannot grow by 2 scenarios"):
            grown_pair(model)
        return
    _, wide, _, new, _ = grown_pair(model)
    batch = random_batch(wide, 200, seed=3)
    logits = new.train()(batch).logits
    total = sum(one.square().mean() for one in logits.values())
    total.backward()
    assert torch.isfinite(total)


@pytest.mark.parametrize("model", ["mmoe", "single", "star", "widedeep", "autoifs"])
@pytest.mark.parametrize("tables", ["sparse", "dense"])
@pytest.mark.parametrize("lazy", [False, True])
def test_optimizer_state_follows_its_rows(model, tables, lazy):
    layout = example_layout(3)
    wide = larger(layout, 4)
    subject = Subject.of(model)
    from polyrec.models import build

    torch.manual_seed(0)
    old = build(model, layout, HEADS, {"tables": tables})
    objective = objectives.build("pointwise", layout)
    optimizer = Optimizer({"model": old, "objective": objective}, TrainingConfig(lazy=lazy), steps=9)
    for seed in range(3):
        batch = random_batch(layout, 64, seed=seed)
        sum(objective(old(batch), batch).values()).backward()
        optimizer.step(seed)
    new = build(model, wide, HEADS, {"tables": tables})
    growth = Growth.between(old, new, scenarios=(3, 4))
    shapes = {name: one.shape for name, one in new.named_parameters()}
    state = growth.optimizer("model", optimizer.state(), shapes)
    following = Optimizer({"model": new}, TrainingConfig(lazy=lazy), steps=9)
    following.load(state)
    mine = following.state()
    for key, one in optimizer.state().items():
        name = key.split(".", 2)[2]
        name = name if key.startswith("rows.") else name.rpartition(".")[0]
        moved = growth.moved.get(name)
        if moved is None or one.dim() == 0:
            assert torch.equal(mine[key], one)
        else:
            assert torch.equal(mine[key].index_select(moved.axis, moved.places), one)
            assert float(mine[key].abs().sum()) == pytest.approx(float(one.abs().sum()), rel=1e-5)
    assert subject.name == model


def test_lazy_weights_of_a_second_scenario_go_on_with_what_adam_knew_of_the_first():
    from polyrec.models import build

    layout = example_layout(1)
    wide = replace(layout, scenarios=("s0", "s1"))
    old, new = (build("single", one, HEADS, {}) for one in (layout, wide))
    objective = objectives.build("pointwise", layout)
    optimizer = Optimizer({"model": old, "objective": objective}, TrainingConfig(lazy=True), steps=9)
    batch = random_batch(layout, 64)
    sum(objective(old(batch), batch).values()).backward()
    optimizer.step(0)
    growth = Growth.between(old, new, scenarios=(1, 2))
    shapes = {name: one.shape for name, one in new.named_parameters()}
    following = Optimizer({"model": new}, TrainingConfig(lazy=True), steps=9)
    before = optimizer.state()
    following.load(growth.optimizer("model", before, shapes))
    assert following.lazy.moments
    for name, moments in following.lazy.moments.items():
        assert torch.equal(moments["first"][:1], before[f"adam.{name}.exp_avg"])
        assert torch.equal(moments["second"][:1], before[f"adam.{name}.exp_avg_sq"])
        assert moments["steps"].tolist() == [1.0, 0.0]
        assert not moments["first"][1].any()


def test_counts_by_scenario_keep_the_unknown_last():
    old, new = Frequencies(2), Frequencies(4)
    old.totals.copy_(torch.tensor([5, 6, 7]))
    growth = Growth.between(old, new, scenarios=(2, 4))
    assert growth.weights(old.state_dict(), new.state_dict())["totals"].tolist() == [5, 6, 0, 0, 7]


def test_a_tensor_that_grows_in_an_unknown_way_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"'weight' is \[3, 2\] and would become \[5, 4\]"):
        Growth.between(nn.Linear(2, 3), nn.Linear(4, 5), scenarios=(3, 5))
