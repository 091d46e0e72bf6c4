"""Shen et al. 2021: scenario-specific transformation, then shared and own debias experts."""

import numpy as np


def test_sarnet_scales_and_shifts_by_scenario_and_mixes_shared_and_own_experts(paper):
    found = paper.case("sarnet", shared_experts=3, own_experts=2, expert_widths=(10, 6), tower_widths=(5,))
    state = found.state

    def of_scenario(row, head, s):
        z = paper.x_row(state, found.batch, row) * state["scale"][s] + state["shift"][s]
        answers = [paper.mlp(state, "shared.networks", z, lambda one, e=e: one[e]) for e in range(3)]
        for own in range(2):
            columns = slice(own * 10, (own + 1) * 10)
            h = z @ state["own.first.weight"][s, 0][:, columns] + state["own.first.bias"][s, 0, columns]
            answers.append(paper.mlp(state, "own.rest", paper.relu(h), lambda one, e=own: one[s, e]))
        columns = slice(head * 5, (head + 1) * 5)
        gate = z @ state["gates.layer.weight"][s, 0][:, columns] + state["gates.layer.bias"][s, 0, columns]
        mixed = sum(a * b for a, b in zip(paper.softmax(gate), answers, strict=True))
        return paper.mlp(state, "towers.network", mixed, lambda one: one[head], linear_end=True)[0]

    paper.agree(
        found, lambda row, head: np.mean([of_scenario(row, head, s) for s in paper.scenarios_of(found.batch, row)])
    )
