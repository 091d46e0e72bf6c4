"""What every objective over a funnel must hold to: masks, extreme logits, gradients that must and must not flow."""

import math
from itertools import product

import pytest
import torch

from polyrec.batch import Layout, Output
from polyrec.objectives import build
from polyrec.objectives.start import begin
from polyrec.schema import Target, Task

STRICT = Layout(("home",), (Task("click", "c"), Task("buy", "b", after="click")))
LOOSE = Layout(
    ("home",),
    (
        Task("click", "c"),
        Task("action", "a", after="click"),
        Task("buy", "b", after="click", via="action", strict=False),
    ),
)
OBJECTIVES = {
    "pointwise": ("pointwise", {}),
    "click_only": ("pointwise", {"unclicked": False}),
    "esmm": ("entire_space", {"action": False, "unclicked": False}),
    "aem2tl": ("entire_space", {}),
    "aem2tl with identify": ("entire_space", {"identify": True}),
    "escm2-ipw": ("escm2", {}),
    "escm2-dr": ("escm2", {"risk": "dr"}),
    "dcmt": ("dcmt", {}),
    "expectation": ("expectation", {}),
}
CASES = pytest.mark.parametrize("name", OBJECTIVES)
LAYOUTS = pytest.mark.parametrize("layout", [STRICT, LOOSE], ids=["strict", "loose"])


def made(name, layout):
    kind, options = OBJECTIVES[name]
    return build(kind, layout, options)


def answered(objective, rows, value=None):
    torch.manual_seed(0)
    logits = (
        torch.randn(len(objective.heads), rows) if value is None else torch.full((len(objective.heads), rows), value)
    )
    return {head: one.requires_grad_() for head, one in zip(objective.heads, logits.unbind(0), strict=True)}


@CASES
@LAYOUTS
@pytest.mark.parametrize("size", [-1e4, -60.0, 60.0, 1e4])
def test_logits_of_any_size_give_finite_terms_and_gradients(make, layout, name, size):
    objective = made(name, layout)
    tasks = len(layout.tasks)
    for labels in product((0.0, 1.0), repeat=tasks):
        heads = answered(objective, 1, size)
        total = torch.stack(list(objective(Output(heads), make(layout, [labels])).values())).sum()
        total.backward()
        assert torch.isfinite(total)
        assert all(one.grad is None or torch.isfinite(one.grad).all() for one in heads.values())
        assert all(torch.isfinite(one).all() for one in objective.predict(Output(heads)).values())


@CASES
@LAYOUTS
def test_a_row_without_labels_moves_no_head_through_any_label(make, layout, name):
    """Whatever is written where a label is null, nothing about the loss changes."""
    objective = made(name, layout)
    tasks = len(layout.tasks)
    seen = [[True] * tasks, [False] * tasks]
    found = []
    for hidden in (0.0, 1.0):
        heads = answered(objective, 2)
        terms = objective(Output(heads), make(layout, [[1.0] * tasks, [hidden] * tasks], observed=seen))
        torch.stack(list(terms.values())).sum().backward()
        found.append({head: one.grad.clone() for head, one in heads.items() if one.grad is not None})
    assert found[0].keys() == found[1].keys()
    for head, one in found[0].items():
        torch.testing.assert_close(one, found[1][head])
    if name not in ("escm2-dr", "dcmt", "expectation"):  # those have a part that needs no label, over all rows
        assert all(one[1] == 0 for one in found[0].values())


@pytest.mark.parametrize("name", ["esmm", "aem2tl", "aem2tl with identify", "escm2-ipw", "escm2-dr", "dcmt"])
def test_a_null_parent_keeps_a_row_out_of_what_asks_for_the_parent(make, name):
    objective = made(name, LOOSE)
    heads = answered(objective, 2)
    rows = make(LOOSE, [[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]], observed=[[True] * 3, [False, True, True]])
    terms = objective(Output(heads), rows)
    kept = {"aem2tl": {"action", "buy"}, "aem2tl with identify": {"action", "buy"}}.get(name, set())
    free = {"escm2-dr": {"action", "buy"}, "dcmt": {"action|agreement", "buy|agreement"}}.get(name, set())
    for term, value in terms.items():
        moved = torch.autograd.grad(value, list(heads.values()), retain_graph=True, allow_unused=True)
        second = any(one is not None and one[1] != 0 for one in moved)
        expected = term in kept | free or (
            name == "esmm" and term == "action"
        )  # action is strict: its label says it all
        assert second == expected, term


@pytest.mark.parametrize("name", ["escm2-ipw", "escm2-dr", "dcmt"])
@LAYOUTS
def test_no_risk_moves_the_propensity(make, layout, name):
    objective = made(name, layout)
    heads = answered(objective, 4)
    rows = make(layout, [[c, *([c] * (len(layout.tasks) - 1))] for c in (0.0, 1.0, 0.0, 1.0)])
    terms = objective(Output(heads), rows)
    for term, value in terms.items():
        (click,) = torch.autograd.grad(value, [heads["click"]], retain_graph=True, allow_unused=True)
        flows = click is not None and bool((click != 0).any())
        assert flows == (term == "click" or term.startswith("click*")), term


def test_the_conversion_moves_the_click_and_every_route(make):
    objective = made("aem2tl", LOOSE)
    heads = answered(objective, 3)
    terms = objective(Output(heads), make(LOOSE, [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]))
    moved = torch.autograd.grad(terms["buy"], list(heads.values()))
    assert all(bool((one != 0).all()) for one in moved)


def test_identify_teaches_each_route_by_the_rows_that_took_it(make):
    """A direct conversion says nothing to the clicked route but that it was not taken, and the other way round."""
    objective = made("aem2tl with identify", LOOSE)
    heads = answered(objective, 1)
    past = objective(Output(heads), make(LOOSE, [[0.0, 0.0, 1.0]]))
    (y3,) = torch.autograd.grad(past["buy|not click"], [heads["buy|not click"]])
    assert y3.item() < 0  # up
    through = objective(Output(heads), make(LOOSE, [[0.0, 0.0, 1.0]]))["buy*click"]
    found = torch.autograd.grad(through, [heads["buy"], heads["buy|not click"]], allow_unused=True)
    assert found[0].item() > 0  # down
    assert found[1] is None


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_funnel_whose_steps_may_be_skipped_is_the_sum_over_all_that_can_happen(steps):
    names = "abcd"[:steps]
    tasks = tuple(
        Task(name, name, after=names[place - 1] if place else None, strict=not place)
        for place, name in enumerate(names)
    )
    objective = build("entire_space", Layout(("home",), tasks))
    assert len(objective.heads) == 2 * steps - 1
    logits = {head: 0.4 * place - 0.9 for place, head in enumerate(objective.heads)}
    p = {head: 1 / (1 + math.exp(-one)) for head, one in logits.items()}
    total = 0.0
    for happened in product((0, 1), repeat=steps):
        path = 1.0
        for place, (name, now) in enumerate(zip(names, happened, strict=True)):
            head = name if not place or happened[place - 1] else f"{name}|not {names[place - 1]}"
            path *= p[head] if now else 1 - p[head]
        total += path * happened[-1]
    output = Output({head: torch.tensor([one], dtype=torch.float64) for head, one in logits.items()})
    assert torch.sigmoid(objective.predict(output)[Target(names[-1])]).item() == pytest.approx(total, abs=1e-12)


def test_click_only_learns_conversions_on_clicked_rows_alone_and_multiplies(make):
    objective = made("click_only", LOOSE)
    assert objective.heads == ("click", "action", "buy")
    heads = answered(objective, 2)
    terms = objective(Output(heads), make(LOOSE, [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
    (moved,) = torch.autograd.grad(terms["buy"], [heads["buy"]])
    assert moved[0] != 0
    assert moved[1] == 0  # bought without a click: not in click space
    found = {target: torch.sigmoid(one) for target, one in objective.predict(Output(heads)).items()}
    torch.testing.assert_close(found[Target("buy")], found[Target("click")] * found[Target("buy", "click")])


LOOSE_IN_THE_MIDDLE = Layout(
    ("home",),
    (Task("click", "c"), Task("cart", "a", after="click", strict=False), Task("buy", "b", after="cart")),
)


@pytest.mark.parametrize("name", ["click_only", "esmm", "escm2-ipw", "escm2-dr", "dcmt"])
def test_without_a_route_past_a_step_the_chain_is_learned_from_what_came_through_all_of_it(make, name):
    # 100 rows: 50 clicks; a cart on 10 of each half; buys: 8 of the clicked carts, 2 of the others.
    rows = [(1.0, 1.0, 1.0)] * 8 + [(1.0, 1.0, 0.0)] * 2 + [(1.0, 0.0, 0.0)] * 40
    rows += [(0.0, 1.0, 1.0)] * 2 + [(0.0, 1.0, 0.0)] * 8 + [(0.0, 0.0, 0.0)] * 40
    batch, objective = make(LOOSE_IN_THE_MIDDLE, rows), made(name, LOOSE_IN_THE_MIDDLE)
    begin(objective, [batch])
    zero = Output({head: torch.zeros(1) for head in objective.heads})
    found = {target: float(torch.sigmoid(one)) for target, one in objective.predict(zero).items()}
    assert found[Target("click")] == pytest.approx(0.5, abs=0.02)
    assert found[Target("cart")] == pytest.approx(0.1, abs=0.01)  # through a click
    assert found[Target("buy")] == pytest.approx(0.08, abs=0.01)  # through a click and a cart
    assert found[Target("buy", "cart")] == pytest.approx(0.8, abs=0.04)
