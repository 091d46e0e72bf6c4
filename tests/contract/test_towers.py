"""Models with two towers keep their part of the contract, in every form; a broken one is told in words."""

import pytest
import torch

from polyrec.batch import Output
from polyrec.models import build, entry
from polyrec.testing import CHECKS, Subject
from polyrec.testing.towers import TOWER_CHECKS, check_towers

FORMS = {
    "two_tower": {},
    "two_tower ignored": {"scenario": "ignored"},
    "two_tower own": {"scenario": "own"},
    "two_tower linear item": {"item_widths": []},
    "sass": {},
    "sass no adaptive": {"adaptive": False},
    "sass no update": {"update": False},
    "sass top": {"gates": "top"},
    "sass user": {"towers": "user"},
}


# Networks of one's own have no scenario embedding: a side without features has nothing to read there and is refused.
# torch.export finds no program with open rows for the copies of `own`: a baseline, not a model to serve.
NOT_FOR = {
    ("two_tower ignored", "ids_stay_whole"),
    ("two_tower own", "ids_stay_whole"),
    ("two_tower own", "exports_with_dynamic_rows"),
}


def subject(form):
    name = form.split()[0]
    return Subject(form, lambda layout, heads: build(name, layout, heads, FORMS[form]), entry(name).config)


@pytest.mark.parametrize("rule", TOWER_CHECKS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_two_towers_keeps_the_rules(form, rule):
    TOWER_CHECKS[rule](subject(form))


LONG = ("two_tower linear item", "sass no adaptive", "sass no update", "sass user")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "rule"),
    [
        pytest.param(form, rule, marks=[pytest.mark.long] if form in LONG else [])
        for form in FORMS
        for rule in CHECKS
        if " " in form and (form, rule) not in NOT_FOR
    ],
)
def test_every_form_keeps_the_contract_of_all_models(form, rule):
    CHECKS[rule](subject(form))


class Broken(torch.nn.Module):
    """A two-tower model with one fault."""

    def __init__(self, layout, heads, fault):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.fault = build("two_tower", layout, heads), fault

    def user(self, batch):
        found = self.inner.user(batch)
        if self.fault == "company":
            found = torch.nn.functional.normalize(found - found.mean(0), dim=1)
        return found + 0.1 * self.inner.item(batch) if self.fault == "items" else found

    def item(self, batch):
        return self.inner.item(batch)

    def forward(self, batch):
        output = self.inner(batch)
        hidden = {"user": self.user(batch), "item": self.item(batch)}
        if self.fault == "hidden":
            del hidden["item"]
        logits = {
            head: one + batch.numerics[:, 0] if self.fault == "order" else one for head, one in output.logits.items()
        }
        return Output(logits, hidden)


@pytest.mark.parametrize(
    ("fault", "rule", "words"),
    [
        ("hidden", "forward_answers_with_both_vectors", "no hidden 'item'"),
        ("order", "scores_order_as_inner_products", "no line in the inner product"),
        ("items", "user_vectors_ignore_items", "the user vector changed with the item's features"),
        ("company", "vectors_do_not_depend_on_company", "changed with the rows beside it"),
    ],
)
def test_a_fault_is_found_by_its_rule(fault, rule, words):
    with pytest.raises(AssertionError, match=words):
        TOWER_CHECKS[rule](Subject("broken", lambda layout, heads: Broken(layout, heads, fault)))


def test_a_model_without_towers_is_told_so():
    with pytest.raises(AssertionError, match=r"pooled breaks forward_answers_with_both_vectors: .* has no user"):
        check_towers("pooled")
