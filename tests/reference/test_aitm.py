"""Xi et al. 2021, equations 3 to 8, and their calibrator."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from polyrec.batch import Batch, Layout, Output
from polyrec.models import build as model
from polyrec.objectives import build
from polyrec.schema import Target, Task
from polyrec.testing import example_layout, random_batch

WIDTH = 4


def test_a_task_attends_to_what_its_parent_passes_on_and_to_itself(paper):
    found = paper.case("aitm", tower_widths=(6, WIDTH))
    state = found.state

    def own(row, head):
        return paper.mlp(state, "towers", paper.x_row(state, found.batch, row), lambda one: one[head])

    def logit(row, head):
        z = own(row, head)
        if head == 1:  # buy comes after click
            parent = own(row, 0)
            passed = paper.relu(state["transfers.0.passed.weight"] @ parent + state["transfers.0.passed.bias"])
            projected = [state["projections.weight"] @ u for u in (passed, z)]
            scores = [one[:WIDTH] @ one[WIDTH : 2 * WIDTH] / math.sqrt(WIDTH) for one in projected]
            share = paper.softmax(np.array(scores))
            z = share[0] * projected[0][2 * WIDTH :] + share[1] * projected[1][2 * WIDTH :]
        return z @ state["ends.weight"][head, :, 0] + state["ends.bias"][head, 0]

    paper.agree(found, logit)


def moved_by(heads, layout, head):
    """Which heads' towers a loss on one head moves."""
    torch.manual_seed(0)
    net = model("aitm", layout, heads, {"tower_widths": (5,)})
    net(random_batch(layout, 20, seed=1)).logits[head].sum().backward()
    gradient = net.towers.layers[0].weight.grad
    return {name for name, one in zip(heads, gradient, strict=True) if bool((one != 0).any())}


def test_the_schema_decides_what_is_passed_on_whatever_the_order_of_heads():
    layout = example_layout()  # click, then buy
    assert moved_by(("buy", "click", "buy|error"), layout, "buy") == {"buy", "click"}
    assert moved_by(("buy", "click", "buy|error"), layout, "click") == {"click"}  # no parent: nothing comes
    assert moved_by(("buy", "click", "buy|error"), layout, "buy|error") == {"buy|error"}  # no task
    assert moved_by(("buy",), layout, "buy") == {"buy"}  # the parent is no head


def test_a_funnel_of_three_passes_on_from_step_to_step():
    tasks = (Task("buy", "b", after="cart"), Task("click", "c"), Task("cart", "a", after="click"))
    layout = replace(example_layout(), tasks=tasks)
    net = model("aitm", layout, ("buy", "click", "cart"), {"tower_widths": (5,)})
    assert net.steps == ((2, 1), (0, 2))
    assert net.projections.weight.shape == (3 * 5, 5)  # one for both transfers


LAYOUT = Layout(("home",), (Task("click", "c"), Task("buy", "b", after="click")))
CLICK, BUY = (-1.0, 0.5), (0.2, -0.7)


def rows(labels):
    count = len(labels)
    return Batch(
        LAYOUT,
        torch.zeros(count, 0, dtype=torch.int32),
        torch.zeros(count, 0),
        torch.zeros(count, dtype=torch.long),
        torch.tensor(labels, dtype=torch.float64),
        torch.ones(count, 2, dtype=torch.bool),
        torch.tensor([1.0, 3.0], dtype=torch.float64),
        torch.zeros(count, dtype=torch.long),
    )


def said():
    return Output({"click": torch.tensor(CLICK, dtype=torch.float64), "buy": torch.tensor(BUY, dtype=torch.float64)})


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_the_calibrator_prices_a_child_expected_more_often_than_its_parent():
    found = build("expectation", LAYOUT, {"calibrator": 2.0})(said(), rows([[1.0, 1.0], [1.0, 0.0]]))
    assert found["buy"].item() == pytest.approx((-math.log(sigmoid(0.2)) - 3 * math.log(1 - sigmoid(-0.7))) / 4)
    assert found["buy>click"].item() == pytest.approx(2.0 * (sigmoid(0.2) - sigmoid(-1.0)) / 4)  # row 2 exceeds nothing


def test_without_the_calibrator_there_is_no_such_term():
    assert build("expectation", LAYOUT, {"calibrator": 0.0}).terms == ("click", "buy")


def test_given_the_parent_is_the_ratio_and_never_above_one():
    found = torch.sigmoid(build("expectation", LAYOUT).predict(said())[Target("buy", "click")])
    assert found[1].item() == pytest.approx(sigmoid(-0.7) / sigmoid(0.5))
    assert found[0].item() == pytest.approx(1.0, abs=2e-6)


def test_a_task_that_may_happen_without_its_parent_answers_by_heads_of_its_own():
    layout = Layout(("home",), (Task("click", "c"), Task("buy", "b", after="click", strict=False)))
    objective = build("expectation", layout)
    assert objective.heads == objective.terms == ("click", "buy", "buy|click")
    logits = dict(zip(objective.heads, torch.tensor([[0.1], [0.2], [0.3]]), strict=True))
    found = objective.predict(Output(logits))
    assert found[Target("buy")].item() == pytest.approx(0.2)
    assert found[Target("buy", "click")].item() == pytest.approx(0.3)
