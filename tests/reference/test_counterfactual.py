"""ESCM² and DCMT on two rows, by hand."""

import math

import pytest
import torch

from polyrec.batch import Batch, Layout, Output
from polyrec.objectives import build
from polyrec.schema import Target, Task

LAYOUT = Layout(("home",), (Task("click", "c"), Task("buy", "b", after="click")))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def entropy(p: float, y: float) -> float:
    return -math.log(p) if y else -math.log(1 - p)


def rows(labels: list[list[float]]) -> Batch:
    count = len(labels)
    return Batch(
        layout=LAYOUT,
        ids=torch.zeros(count, 0, dtype=torch.int32),
        numerics=torch.zeros(count, 0),
        scenario=torch.zeros(count, dtype=torch.int64),
        labels=torch.tensor(labels, dtype=torch.float64),
        observed=torch.ones(count, 2, dtype=torch.bool),
        weight=torch.ones(count, dtype=torch.float64),
        user=torch.zeros(count, dtype=torch.int64),
    )


CLICK, BUY, EXTRA = (0.4, -0.2), (-0.6, 0.3), (0.1, -1.0)
LABELS = [[1.0, 1.0], [0.0, 0.0]]


def out(objective) -> Output:
    values = dict(zip(objective.heads, (CLICK, BUY, EXTRA), strict=False))
    return Output({head: torch.tensor(one, dtype=torch.float64, requires_grad=True) for head, one in values.items()})


def test_inverse_propensity_divides_the_clicked_rows_loss_by_their_propensity():
    objective = build("escm2", LAYOUT, {"risk": "ipw"})
    terms = objective(out(objective), rows(LABELS))
    p = [sigmoid(one) for one in CLICK]
    r = [sigmoid(one) for one in BUY]
    assert terms["click"].item() == pytest.approx((entropy(p[0], 1) + entropy(p[1], 0)) / 2)
    assert terms["buy"].item() == pytest.approx(entropy(r[0], 1) / p[0] / 2)
    assert terms["click*buy"].item() == pytest.approx((entropy(p[0] * r[0], 1) + entropy(p[1] * r[1], 0)) / 2)


def test_a_propensity_is_clipped_and_has_no_gradient():
    objective = build("escm2", LAYOUT, {"risk": "ipw", "least": 0.5, "parent": 0.0, "whole": 0.0})
    output = Output(
        {
            "click": torch.tensor([-4.0], dtype=torch.float64, requires_grad=True),
            "buy": torch.tensor([0.0], dtype=torch.float64, requires_grad=True),
        }
    )
    terms = objective(output, rows([[1.0, 1.0]]))
    assert terms["buy"].item() == pytest.approx(math.log(2) / 0.5)
    (click, buy) = torch.autograd.grad(terms["buy"], [output.logits["click"], output.logits["buy"]], allow_unused=True)
    assert click is None
    assert buy.item() != 0


def test_doubly_robust_imputes_every_row_and_corrects_the_clicked_ones():
    objective = build("escm2", LAYOUT, {"risk": "dr"})
    assert objective.heads == ("click", "buy", "buy|error")
    terms = objective(out(objective), rows(LABELS))
    p = [sigmoid(one) for one in CLICK]
    imputed = [math.log1p(math.exp(one)) for one in EXTRA]
    error = entropy(sigmoid(BUY[0]), 1)
    assert terms["buy"].item() == pytest.approx((sum(imputed) + (error - imputed[0]) / p[0]) / 2)
    assert terms["buy|error"].item() == pytest.approx((error - imputed[0]) ** 2 / p[0] / 2)


def test_dcmt_learns_both_worlds_self_normalised_and_holds_their_sum_at_one():
    objective = build("dcmt", LAYOUT, {"agreement": 0.5})
    terms = objective(out(objective), rows([[1.0, 1.0], [0.0, 0.0]]))
    r, q = [sigmoid(one) for one in BUY], [sigmoid(one) for one in EXTRA]
    assert terms["buy"].item() == pytest.approx(entropy(r[0], 1))
    assert terms["buy|counterfactual"].item() == pytest.approx(entropy(q[1], 1))
    agreement = (abs(1 - r[0] - q[0]) + abs(1 - r[1] - q[1])) / 2
    assert terms["buy|agreement"].item() == pytest.approx(0.5 * agreement)


@pytest.mark.parametrize(("name", "options"), [("escm2", {}), ("escm2", {"risk": "dr"}), ("dcmt", {})])
def test_terms_are_named_as_promised_and_predictions_cover_every_target(name, options):
    objective = build(name, LAYOUT, options)
    output = out(objective)
    assert set(objective(output, rows(LABELS))) == set(objective.terms)
    found = objective.predict(output)
    assert set(found) == {Target("click"), Target("buy"), Target("buy", "click")}
    product = torch.sigmoid(found[Target("click")]) * torch.sigmoid(found[Target("buy", "click")])
    assert torch.allclose(torch.sigmoid(found[Target("buy")]), product)
