"""Li et al. 2020: every scenario's tower says what it thinks of a row; the row's own scenario weighs them."""

import numpy as np
import torch

OPTIONS = {"experts": 3, "expert_widths": (10, 6), "tower_widths": (5,)}


def test_hmoe_mixes_the_logits_of_every_scenario_by_a_gate_of_the_rows_own(paper):
    found = paper.case("hmoe", **OPTIONS)
    state = found.state

    def said(x, head, j):
        answers = [paper.mlp(state, "experts.networks", x, lambda one, e=e: one[e]) for e in range(3)]
        columns = slice(head * 3, (head + 1) * 3)
        gate = paper.softmax(x @ state["gates.weight"][j][:, columns] + state["gates.bias"][j, columns])
        mixed = sum(a * b for a, b in zip(gate, answers, strict=True))
        return paper.mlp(state, "towers.network", mixed, lambda one: one[j * 2 + head], linear_end=True)[0]

    def of_scenario(row, head, s):
        x = paper.x_row(state, found.batch, row)
        columns = slice(head * 3, (head + 1) * 3)
        weight, bias = state["mixture.layer.weight"][s, 0], state["mixture.layer.bias"][s, 0]
        share = paper.softmax(x @ weight[:, columns] + bias[columns])
        return sum(share[j] * said(x, head, j) for j in range(3))

    paper.agree(
        found, lambda row, head: np.mean([of_scenario(row, head, s) for s in paper.scenarios_of(found.batch, row)])
    )


def test_a_row_teaches_the_tower_and_the_gates_of_its_own_scenario_alone(paper):
    found = paper.case("hmoe", tables="dense", **OPTIONS)
    rows = torch.nonzero(found.batch.scenario == 1)[:, 0]
    sum(found.model(found.batch.select(rows)).logits.values()).sum().backward()
    taught = [bool(one.any()) for one in found.model.towers.network.layers[0].weight.grad]
    assert taught == [False, False, True, True, False, False]  # scenario by scenario, each with two heads
    for one in (found.model.gates.weight, found.model.mixture.layer.weight):
        assert [bool(part.any()) for part in one.grad] == [False, True, False]
