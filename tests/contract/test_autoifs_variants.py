"""The contract holds for AutoIFS in each of its forms, not in the default one alone."""

import pytest

from polyrec import models
from polyrec.testing import CHECKS, Subject

SMALL = {"widths": (16,), "scenario_widths": (8,), "selector_widths": (8,)}
FORMS = {
    "subtract": {"fusion": "subtract", "selector": "row"},
    "select": {"fusion": "select", "selector": "row"},
    "straight": {"gates": "straight", "scenario_widths": (8, 6), "task_widths": (4,)},
}
FROZEN = {"hard": {"gates": "hard", "selector": "row"}, "some adapters": {"adapters": ("s0", "s2"), "gates": "open"}}
# A selector that is frozen does not learn, nor an adapter that is not there; and on the layout of `ids_stay_whole` a
# random hard selector may prune every flow, while the scenario is called otherwise.
ELSEWHERE = {"every_parameter_learns", "unknown_option_is_refused", "ids_stay_whole"}


def made(options):
    return Subject("autoifs", lambda layout, heads: models.build("autoifs", layout, heads, {**SMALL, **options}))


PAIRS = [
    (form, rule)
    for form in FORMS
    for rule in CHECKS
    # Gates of 0 and 1 at random weights may prune every flow, and then no feature says anything.
    if rule != "unknown_option_is_refused" and (form, rule) != ("straight", "ids_stay_whole")
]


@pytest.mark.parametrize(("form", "rule"), PAIRS)
def test_every_form_keeps_the_contract(form, rule):
    CHECKS[rule](made(FORMS[form]))


@pytest.mark.parametrize("rule", [rule for rule in CHECKS if rule not in ELSEWHERE])
@pytest.mark.parametrize("form", FROZEN)
def test_forms_with_frozen_parts_keep_the_rest_of_it(form, rule):
    CHECKS[rule](made(FROZEN[form]))
