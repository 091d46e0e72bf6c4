"""Ma et al. 2018, equations 5 to 7."""

import numpy as np
import pytest

from polyrec.errors import ConfigError

EXPERTS = 3


@pytest.mark.parametrize("towers", ["cell", "task"])
def test_mmoe_mixes_shared_experts_by_a_softmax_gate_for_each_cell_or_task(paper, towers):
    found = paper.case("mmoe", experts=EXPERTS, expert_widths=(10, 6), tower_widths=(5,), towers=towers)
    state = found.state

    def of_scenario(row, head, s):
        x = paper.x_row(state, found.batch, row)
        experts = [paper.mlp(state, "experts.networks", x, lambda one, e=e: one[e]) for e in range(EXPERTS)]
        mine = slice(head * EXPERTS, (head + 1) * EXPERTS)
        if towers == "cell":
            gate = x @ state["gates.layer.weight"][s, 0][:, mine] + state["gates.layer.bias"][s, 0][mine]
        else:
            gate = state["gates.layer.weight"][mine] @ x + state["gates.layer.bias"][mine]
        mixed = sum(share * expert for share, expert in zip(paper.softmax(gate), experts, strict=True))
        pick = (lambda one: one[s, head]) if towers == "cell" else (lambda one: one[head])
        return paper.mlp(state, "towers.network", mixed, pick, linear_end=True)[0]

    paper.agree(
        found,
        lambda row, head: np.mean([of_scenario(row, head, s) for s in paper.scenarios_of(found.batch, row)]),
    )


def test_mmoe_answers_with_each_heads_mixture(paper):
    found = paper.case("mmoe", experts=2, expert_widths=(10, 6))
    found.model.gates.layer.weight.data.zero_()
    found.model.gates.layer.bias.data.zero_()  # equal shares
    x = paper.x_row(found.state, found.batch, 4)
    both = [paper.mlp(found.state, "experts.networks", x, lambda one, e=e: one[e]) for e in range(2)]
    hidden = found.model(found.batch).hidden
    for head in paper.heads:
        np.testing.assert_allclose(hidden[head][4].detach(), (both[0] + both[1]) / 2, rtol=1e-9, atol=1e-9)


def test_one_expert_is_refused(paper):
    with pytest.raises(ConfigError, match="experts = 1"):
        paper.case("mmoe", experts=1)
