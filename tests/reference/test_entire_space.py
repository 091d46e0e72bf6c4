"""The entire-space algebra against enumeration over what can happen, and its relatives as special cases."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.batch import Batch, Layout, Output
from polyrec.objectives import build
from polyrec.schema import Target, Task

CLICK, ACTION = Task("click", "c"), Task("action", "a", after="click")
BUY = Task("buy", "b", after="click", via="action", strict=False)
LAYOUT = Layout(("home",), (CLICK, ACTION, BUY))
LOGITS = st.lists(st.floats(-30, 30), min_size=5, max_size=5)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def output(objective, logits):
    return Output(
        {head: torch.tensor([one], dtype=torch.float64) for head, one in zip(objective.heads, logits, strict=True)}
    )


def batch(layout: Layout, labels: list[list[float]], observed: list[list[bool]] | None = None) -> Batch:
    rows = len(labels)
    seen = torch.ones(rows, len(layout.tasks), dtype=torch.bool) if observed is None else torch.tensor(observed)
    return Batch(
        layout=layout,
        ids=torch.zeros(rows, 0, dtype=torch.int32),
        numerics=torch.zeros(rows, 0),
        scenario=torch.zeros(rows, dtype=torch.int64),
        labels=torch.tensor(labels, dtype=torch.float64),
        observed=seen,
        weight=torch.ones(rows, dtype=torch.float64),
        user=torch.zeros(rows, dtype=torch.int64),
    )


@given(LOGITS)
@settings(deadline=None)
def test_the_probability_of_a_conversion_is_the_sum_over_everything_that_can_happen(logits):
    objective = build("entire_space", LAYOUT)
    assert objective.heads == ("click", "action", "buy", "buy|action", "buy|not click")
    y1, y4, y2, y5, y3 = (sigmoid(one) for one in logits)
    total, clicked = 0.0, 0.0
    for c, a in product((0, 1), (0, 1)):
        if a and not c:
            continue
        p_path = (y1 if c else 1 - y1) * ((y4 if a else 1 - y4) if c else 1.0)
        p_buy = y3 if not c else y5 if a else y2
        total += p_path * p_buy
        clicked += p_path * p_buy if c else 0.0
    found = objective.predict(output(objective, logits))
    assert torch.sigmoid(found[Target("buy")]).item() == pytest.approx(total, abs=1e-12)
    assert torch.sigmoid(found[Target("action")]).item() == pytest.approx(y1 * y4, abs=1e-12)
    assert torch.sigmoid(found[Target("buy", "click")]).item() == pytest.approx(clicked / y1, rel=1e-9, abs=1e-12)


@given(LOGITS)
@settings(deadline=None)
def test_without_an_unclicked_conversion_the_whole_is_the_click_times_the_conversion(logits):
    objective = build("entire_space", LAYOUT)
    found = objective.predict(output(objective, [*logits[:4], -700.0]))
    whole = torch.sigmoid(found[Target("buy")])
    parts = torch.sigmoid(found[Target("click")]) * torch.sigmoid(found[Target("buy", "click")])
    assert whole.item() == pytest.approx(parts.item(), abs=1e-12)


def test_without_an_action_it_is_esmm():
    full, esmm = build("entire_space", LAYOUT), build("entire_space", LAYOUT, {"action": False, "unclicked": False})
    assert esmm.heads == ("click", "action", "buy")
    mine = full.predict(output(full, [0.3, -700.0, -0.8, 5.0, -700.0]))
    theirs = esmm.predict(output(esmm, [0.3, -700.0, -0.8]))
    assert mine[Target("buy")].item() == pytest.approx(theirs[Target("buy")].item(), abs=1e-9)


@pytest.mark.parametrize("size", [50.0, 100.0])
def test_extreme_logits_give_finite_losses_and_gradients(size):
    objective = build("entire_space", LAYOUT, {"identify": True})
    for signs in product((-1, 1), repeat=5):
        logits = [torch.tensor([one * size], requires_grad=True) for one in signs]
        out = Output(dict(zip(objective.heads, logits, strict=True)))
        rows = batch(LAYOUT, [[1.0, 0.0, 1.0]])
        terms = objective(out, rows)
        assert tuple(terms) == objective.terms
        sum(terms.values()).backward()
        assert all(torch.isfinite(one) for one in terms.values())
        assert all(torch.isfinite(one.grad).all() for one in logits if one.grad is not None)


def test_the_loss_is_the_cross_entropy_of_every_task_over_all_impressions():
    objective = build("entire_space", LAYOUT, {"identify": True})
    logits = [0.2, -0.4, -1.0, 0.7, -2.0]
    y1, y4, y2, y5, y3 = (sigmoid(one) for one in logits)
    cvr = y2 * (1 - y4) + y4 * y5
    expected = {
        "click": -math.log(y1),
        "action": -math.log(1 - y1 * y4),
        "buy": -math.log(y1 * cvr + (1 - y1) * y3),
        "buy*click": -math.log(y1 * cvr),
        "buy|not click": -math.log(1 - (1 - y1) * y3),
    }
    terms = objective(output(objective, logits), batch(LAYOUT, [[1.0, 0.0, 1.0]]))
    assert {name: one.item() for name, one in terms.items()} == pytest.approx(expected)


def test_a_null_label_takes_part_in_no_term_of_its_task():
    objective = build("entire_space", LAYOUT)
    seen = batch(LAYOUT, [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[True, True, True], [True, True, False]])
    alone = batch(LAYOUT, [[1.0, 0.0, 0.0]])
    twice = Output({head: torch.tensor([0.1, 3.0], dtype=torch.float64) for head in objective.heads})
    once = Output({head: torch.tensor([0.1], dtype=torch.float64) for head in objective.heads})
    assert objective(twice, seen)["buy"].item() == pytest.approx(objective(once, alone)["buy"].item())


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_strict_funnel_of_any_length_is_a_product(steps):
    names = "abcd"[:steps]
    tasks = tuple(Task(name, name, after=names[place - 1] if place else None) for place, name in enumerate(names))
    objective = build("entire_space", Layout(("home",), tasks))
    assert objective.heads == tuple(names)
    found = objective.predict(output(objective, [0.3 * place - 0.5 for place in range(steps)]))
    expected = math.prod(sigmoid(0.3 * place - 0.5) for place in range(steps))
    assert torch.sigmoid(found[Target(names[-1])]).item() == pytest.approx(expected, rel=1e-9)


def test_esmm_explains_only_conversions_that_came_through_the_click():
    esmm = build("entire_space", LAYOUT, {"action": False, "unclicked": False})
    direct = objective_loss(esmm, [[0.0, 0.0, 1.0]])
    none = objective_loss(esmm, [[0.0, 0.0, 0.0]])
    assert direct == pytest.approx(none)


def objective_loss(objective, labels):
    return objective(output(objective, [0.1, 0.2, 0.3]), batch(LAYOUT, labels))["buy"].item()
