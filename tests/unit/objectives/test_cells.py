import pytest
import torch

from polyrec.errors import ConfigError
from polyrec.objectives.cells import binary_term, cell_table, check_names, row_weights


def test_scenario_and_cell_weights_multiply(funnel):
    table = cell_table(funnel, {"feed": 2.0}, {"feed": {"cart": 3.0}, "home": {"buy": 0.0}})
    assert table.tolist() == [[1, 2, 1], [1, 6, 1], [0, 2, 1]]


def test_a_row_of_an_undeclared_scenario_weighs_1(funnel):
    table = cell_table(funnel, {"home": 5.0, "feed": 5.0}, {})
    assert row_weights(table[0], torch.tensor([0, 1, -1]), torch.tensor([1.0, 2.0, 3.0])).tolist() == [5, 10, 3]


def test_every_unknown_name_is_told_at_once(funnel):
    with pytest.raises(ConfigError) as found:
        check_names(funnel, ["clik"], ["hom"], "[objective] weights")
    text = str(found.value)
    assert "task 'clik' is not in the schema. Known: click, cart, buy. Did you mean 'click'?" in text
    assert "scenario 'hom' is not in the schema. Known: home, feed. Did you mean 'home'?" in text


def test_a_term_without_rows_is_0_and_keeps_its_graph():
    logit = torch.zeros(3, requires_grad=True)
    term = binary_term(logit, torch.ones(3), torch.zeros(3, dtype=torch.bool), torch.ones(3))
    term.backward()
    assert term.item() == 0.0
    assert logit.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("normalise", ["valid", "batch"])
def test_a_term_of_no_rows_at_all_is_0(normalise):
    logit = torch.zeros(0, requires_grad=True)
    term = binary_term(logit, torch.zeros(0), torch.zeros(0, dtype=torch.bool), torch.zeros(0), normalise)
    term.backward()
    assert term.item() == 0.0


def test_weights_that_sum_to_less_than_1_still_make_a_mean():
    logit = torch.tensor([0.0, 0.0])
    term = binary_term(logit, torch.ones(2), torch.ones(2, dtype=torch.bool), torch.tensor([0.1, 0.2]))
    assert term.item() == pytest.approx(0.693147, abs=1e-5)
