"""Pointwise losses and predictions by hand, one row at a time in plain Python."""

from math import exp, log

import pytest
import torch

from polyrec import objectives
from polyrec.batch import Batch, Layout, Output
from polyrec.errors import ConfigError
from polyrec.schema import Target, Task

STRICT = Layout(("home", "feed"), (Task("click", "c"), Task("buy", "b", after="click")))
LOOSE = Layout(("home",), (Task("click", "c"), Task("buy", "b", after="click", strict=False)))

#          click  buy   observed         scenario  weight
ROWS = [
    (1, 1, (True, True), 0, 1.0),
    (1, 0, (True, True), 1, 2.0),
    (0, 0, (True, True), 1, 1.0),
    (1, 0, (True, False), 0, 4.0),  # bought or not: not observed
    (0, 1, (False, True), 0, 1.0),  # clicked or not: not observed
]
LOGITS = {"click": [0.3, -1.0, 2.0, 0.5, -0.7], "buy": [1.1, 0.4, -3.0, 0.0, 0.9], "buy|click": [0.2, 0.6, 1.0, 1, 1]}


def batch(layout):
    click, buy, observed, scenario, weight = zip(*ROWS, strict=True)
    return Batch(
        layout,
        torch.zeros(5, 0, dtype=torch.int32),
        torch.zeros(5, 0),
        torch.tensor(scenario),
        torch.tensor([click, buy], dtype=torch.float32).T,
        torch.tensor(observed),
        torch.tensor(weight),
        torch.zeros(5, dtype=torch.long),
    )


def output(heads):
    return Output({head: torch.tensor(LOGITS[head]) for head in heads})


def cross_entropy(logit, label):
    p = 1 / (1 + exp(-logit))
    return -log(p if label else 1 - p)


def weighted(head, rows, label, over=None, factor=lambda row: 1.0):
    weights = {row: ROWS[row][4] * factor(row) for row in range(5)}
    total = sum(weights[row] * cross_entropy(LOGITS[head][row], ROWS[row][label]) for row in rows)
    return total / sum(weights[row] for row in (over or rows))


def terms(layout, **options):
    objective = objectives.build("pointwise", layout, options)
    found = objective(output(objective.heads), batch(layout))
    assert tuple(found) == objective.terms
    return {name: one.item() for name, one in found.items()}


def test_a_child_learns_on_the_observed_rows_of_its_parent():
    expected = {"click": weighted("click", [0, 1, 2, 3], 0), "buy": weighted("buy", [0, 1], 1)}
    assert terms(STRICT, normalise="valid") == pytest.approx(expected, rel=1e-5)


def test_over_the_batch_a_rare_space_weighs_as_little_as_it_has_rows():
    every = range(5)
    expected = {"click": weighted("click", [0, 1, 2, 3], 0, every), "buy": weighted("buy", [0, 1], 1, every)}
    assert terms(STRICT, normalise="batch") == pytest.approx(expected, rel=1e-5)


def test_a_task_that_may_happen_without_its_parent_has_a_head_for_each_space():
    expected = {
        "click": weighted("click", [0, 1, 2, 3], 0),
        "buy": weighted("buy", [0, 1, 2, 4], 1),
        "buy|click": weighted("buy|click", [0, 1], 1),
    }
    assert terms(LOOSE, normalise="valid") == pytest.approx(expected, rel=1e-5)


def test_weights_of_tasks_scenarios_and_cells_multiply():
    found = terms(
        STRICT,
        normalise="valid",
        task_weights={"buy": 0.5},
        scenario_weights={"feed": 3.0},
        cell_weights={"home": {"buy": 2.0}},
    )
    feed = {1: 3.0, 2: 3.0}
    expected = {
        "click": weighted("click", [0, 1, 2, 3], 0, factor=lambda row: feed.get(row, 1.0)),
        "buy": 0.5 * weighted("buy", [0, 1], 1, factor=lambda row: feed.get(row, 2.0)),
    }
    assert found == pytest.approx(expected, rel=1e-5)


def test_over_all_impressions_a_strict_funnel_multiplies():
    objective = objectives.build("pointwise", STRICT)
    found = objective.predict(output(objective.heads))
    assert tuple(found) == STRICT.targets
    for row in range(5):
        click, buy = (1 / (1 + exp(-LOGITS[head][row])) for head in ("click", "buy"))
        assert torch.sigmoid(found[Target("click")])[row].item() == pytest.approx(click, rel=1e-5)
        assert torch.sigmoid(found[Target("buy", "click")])[row].item() == pytest.approx(buy, rel=1e-5)
        assert torch.sigmoid(found[Target("buy")])[row].item() == pytest.approx(click * buy, rel=1e-5)


def test_heads_of_a_loose_task_answer_for_themselves():
    objective = objectives.build("pointwise", LOOSE)
    found = objective.predict(output(objective.heads))
    assert found[Target("buy")].tolist() == pytest.approx(LOGITS["buy"])
    assert found[Target("buy", "click")].tolist() == pytest.approx(LOGITS["buy|click"])


def test_below_a_loose_task_no_product_is_taken():
    tasks = (*LOOSE.tasks, Task("return", "r", after="buy"))
    heads = objectives.build("pointwise", Layout(("home",), tasks)).heads
    assert heads == ("click", "buy", "buy|click", "return", "return|buy")


def test_three_steps_multiply():
    tasks = (Task("click", "c"), Task("cart", "a", after="click"), Task("buy", "b", after="cart"))
    objective = objectives.build("pointwise", Layout(("home",), tasks))
    logits = {"click": torch.tensor([0.5]), "cart": torch.tensor([-1.0]), "buy": torch.tensor([2.0])}
    p = 1.0
    for one in (0.5, -1.0, 2.0):
        p /= 1 + exp(-one)
    assert torch.sigmoid(objective.predict(Output(logits))[Target("buy")]).item() == pytest.approx(p, rel=1e-5)


def test_logits_of_100_stay_finite_with_finite_gradients():
    objective = objectives.build("pointwise", STRICT)
    for click in (-100.0, 100.0):
        for buy in (-100.0, 100.0):
            logits = {
                "click": torch.full((5,), click, requires_grad=True),
                "buy": torch.full((5,), buy, requires_grad=True),
            }
            found = objective.predict(Output(logits))[Target("buy")]
            (found.sum() + sum(objective(Output(logits), batch(STRICT)).values())).backward()
            assert torch.isfinite(found).all()
            assert all(torch.isfinite(one.grad).all() for one in logits.values())


def test_a_weight_for_an_unknown_task_is_refused():
    with pytest.raises(ConfigError, match=r"task 'byu' is not in the schema. Known: click, buy. Did you mean 'buy'"):
        objectives.build("pointwise", STRICT, {"task_weights": {"byu": 1.0}})


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError, match=r"task_weights.buy = -1.0: input should be greater than or equal to 0"):
        objectives.build("pointwise", STRICT, {"task_weights": {"buy": -1.0}})
