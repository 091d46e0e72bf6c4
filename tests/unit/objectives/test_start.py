"""Heads start where the objective's loss over constants is least."""

import pytest
import torch

from polyrec.batch import Batch, Layout, Output
from polyrec.objectives import build
from polyrec.objectives.start import BOUND, begin
from polyrec.schema import Target, Task

CLICK, BUY = Task("click", "c"), Task("buy", "b", after="click")


def rows(layout, labels, observed=None):
    count = len(labels)
    return Batch(
        layout=layout,
        ids=torch.zeros(count, 0, dtype=torch.int32),
        numerics=torch.zeros(count, 0),
        scenario=torch.zeros(count, dtype=torch.int64),
        labels=torch.tensor(labels),
        observed=torch.ones(count, len(layout.tasks), dtype=torch.bool) if observed is None else torch.tensor(observed),
        weight=torch.ones(count),
        user=torch.zeros(count, dtype=torch.int64),
    )


LABELS = [[1.0, 1.0]] * 3 + [[1.0, 0.0]] * 7 + [[0.0, 0.0]] * 190  # 5 % click, 30 % of them buy


@pytest.mark.parametrize("name", ["pointwise", "entire_space"])
def test_a_model_that_says_nothing_predicts_the_base_rates(name):
    layout = Layout(("home",), (CLICK, BUY))
    objective = build(name, layout)
    begin(objective, [rows(layout, LABELS)])
    found = objective.predict(Output({head: torch.zeros(1) for head in objective.heads}))
    rates = {target: torch.sigmoid(logit).item() for target, logit in found.items()}
    assert rates[Target("click")] == pytest.approx(0.05, abs=2e-3)
    assert rates[Target("buy", "click")] == pytest.approx(0.3, abs=0.02)
    assert rates[Target("buy")] == pytest.approx(0.015, abs=2e-3)


def test_routes_that_are_told_apart_start_at_their_own_rates():
    layout = Layout(("home",), (CLICK, Task("buy", "b", after="click", strict=False)))
    objective = build("entire_space", layout, {"identify": True})
    direct = [[0.0, 1.0]] * 19 + [[0.0, 0.0]] * 171
    begin(objective, [rows(layout, [*LABELS[:10], *direct])])
    start = dict(zip(objective.heads, torch.sigmoid(objective.start).tolist(), strict=True))
    assert start["buy|not click"] == pytest.approx(0.1, abs=0.01)
    assert start["buy"] == pytest.approx(0.3, abs=0.02)


def test_a_head_that_no_row_speaks_of_stays_within_reach_and_others_are_unmoved():
    layout = Layout(("home",), (CLICK, BUY))
    objective = build("pointwise", layout)
    begin(objective, [rows(layout, [[0.0, 0.0]] * 50)])
    assert torch.isfinite(objective.start).all()
    assert objective.start.abs().max() <= BOUND
    assert objective.start[1] == 0


def test_no_rows_and_losses_that_are_no_numbers_leave_the_start_at_zero():
    layout = Layout(("home",), (CLICK, BUY))
    for batches in ([], [rows(layout, [[float("nan"), 0.0]])]):
        objective = build("pointwise", layout)
        begin(objective, batches)
        assert objective.start.tolist() == [0.0, 0.0]


def test_the_start_is_part_of_the_objectives_state_and_looks_at_the_first_rows_only():
    layout = Layout(("home",), (CLICK,))
    objective = build("pointwise", layout)
    looked = []

    def batches():
        for place in range(100):
            looked.append(place)
            yield rows(layout, [[1.0], [0.0]] * 10_000)

    begin(objective, batches())
    assert len(looked) == 4
    again = build("pointwise", layout)
    again.load_state_dict(objective.state_dict())
    assert torch.equal(again.start, objective.start)
