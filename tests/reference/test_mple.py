"""Tang et al. 2020, equations 1 to 4, each scenario x task taken as a task."""

import numpy as np


def test_mple_mixes_the_cells_own_experts_with_shared_ones(paper):
    found = paper.case("mple", shared_experts=3, own_experts=2, expert_widths=(10, 6), tower_widths=(5,))
    state = found.state

    def of_scenario(row, head, s):
        x = paper.x_row(state, found.batch, row)
        answers = []
        for own in range(2):
            place = head * 2 + own
            columns = slice(place * 10, (place + 1) * 10)
            h = x @ state["own.first.weight"][s, 0][:, columns] + state["own.first.bias"][s, 0, columns]
            answers.append(paper.mlp(state, "own.rest", paper.relu(h), lambda one, p=place: one[s, p]))
        answers += [paper.mlp(state, "shared.networks", x, lambda one, e=e: one[e]) for e in range(3)]
        columns = slice(head * 5, (head + 1) * 5)
        gate = x @ state["gates.layer.weight"][s, 0][:, columns] + state["gates.layer.bias"][s, 0, columns]
        mixed = sum(a * b for a, b in zip(paper.softmax(gate), answers, strict=True))
        return paper.mlp(state, "towers.network", mixed, lambda one: one[s, head], linear_end=True)[0]

    paper.agree(
        found, lambda row, head: np.mean([of_scenario(row, head, s) for s in paper.scenarios_of(found.batch, row)])
    )
