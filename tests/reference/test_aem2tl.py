"""Yi et al. 2025, equations 3 to 14."""

import numpy as np
import pytest
import torch

from polyrec.testing import example_layout

SMALL = {"expert_widths": (6, 5), "tower_widths": (4, 3), "gate_width": 4}


def sides(model):
    """Columns of x that the prior reads, worked out from the layout's declared sides."""
    layout = example_layout(3)
    widths = [(one, 16) for one in layout.categorical if one.name in ("user", "item", "hour")]
    widths += [(one, 5) for one in layout.categorical if one.name == "brand"]
    widths += [(one, 16) for one in layout.sequences]
    widths += [(one, 1) for one in layout.numeric] + [(one, one.size) for one in layout.vectors]
    found, at = [], 0
    for one, width in widths:
        if one.side in ("user", "item"):
            found += range(at, at + width)
        at += width
    return [*found, *range(at, at + 16)]  # the scenario's embedding is last


@pytest.mark.parametrize("without", [None, "scenario_cgc", "task_cgc", "gating"])
def test_aem2tl_stacks_scenario_and_task_experts_under_gated_towers(paper, without):
    found = paper.case("aem2tl", **SMALL, **({without: False} if without else {}))
    state, prior_columns = found.state, sides(found.model)

    def gate_unit(at, u):
        h = paper.relu(state[f"{at}.first.weight"] @ u + state[f"{at}.first.bias"])
        return 2.0 * paper.sigmoid(state[f"{at}.last.weight"] @ h + state[f"{at}.last.bias"])

    def task_mixture(bottom, s, head):
        experts = [paper.mlp(state, "task.experts", bottom, lambda one, k=k: one[s, k]) for k in range(2 + 2 * 2)]
        own = experts[2 + 2 * head : 4 + 2 * head]
        share = (bottom @ state["task.gate.weight"][s, 0])[4 * head : 4 * head + 4]
        return sum(w * e for w, e in zip(paper.softmax(share), [*experts[:2], *own], strict=True))

    def one_scenario(x, s, head):
        shared = [paper.mlp(state, "shared.networks", x, lambda one, k=k: one[k]) for k in range(3)]
        share = paper.softmax(state["shared_gate.layer.weight"] @ x + state["shared_gate.layer.bias"])
        bottom = sum(w * e for w, e in zip(share, shared, strict=True))
        if without != "scenario_cgc":
            own = [paper.mlp(state, "scenario.experts", x, lambda one, k=k: one[s, k]) for k in range(3)]
            logits = x @ state["scenario.gate.layer.weight"][s, 0] + state["scenario.gate.layer.bias"][s, 0]
            mixed = sum(w * e for w, e in zip(paper.softmax(logits), own, strict=True))
            bottom = np.concatenate([bottom, mixed])
        h = bottom if without == "task_cgc" else task_mixture(bottom, s, head)
        prior = np.concatenate([x[prior_columns], x])
        for layer, width in enumerate((4, 3)):
            h = paper.relu(h @ state[f"layers.{layer}.weight"][s, head] + state[f"layers.{layer}.bias"][s, head])
            if without != "gating":
                h = h * gate_unit(f"gates.{layer}", prior)[head * width : (head + 1) * width]
        return (h @ state["end.weight"][s, head] + state["end.bias"][s, head])[0]

    def logit(row, head):
        x = paper.x_row(state, found.batch, row)
        return np.mean([one_scenario(x, s, head) for s in paper.scenarios_of(found.batch, row)])

    paper.agree(found, logit)


def test_gates_that_have_not_learned_yet_change_nothing(paper):
    found = paper.case("aem2tl", **SMALL)
    for gate in found.model.gates:
        torch.nn.init.zeros_(gate.last.weight)
        torch.nn.init.zeros_(gate.last.bias)
    gated = found.model(found.batch).logits["buy"]
    found.model.gates = torch.nn.ModuleList()
    assert torch.equal(found.model(found.batch).logits["buy"], gated)


def test_the_gates_stop_the_gradient_of_the_embeddings_that_they_read_as_a_whole(paper):
    found = paper.case("aem2tl", **SMALL)
    model, batch = found.model, found.batch
    for layer in model.layers:  # cut the way through the towers: only the gates are left
        layer.weight.data.zero_()
        layer.bias.data.fill_(1.0)
    sum(one.sum() for one in model(batch).logits.values()).backward()
    moved = (model.inputs.embedding.tables["16"].weight.grad.to_dense() != 0).any(1).nonzero()[:, 0].tolist()
    hours = set(range(54, 80))
    assert moved
    assert not hours & set(moved)  # hour is context: read through sg alone
