"""Yi et al. 2025, equations 3 to 14."""

import numpy as np
import pytest
import torch

from polyrec.models import build
from polyrec.testing import example_layout, random_batch

SMALL = {
    "expert_widths": (6, 5),
    "shared_experts": 3,
    "own_experts": 3,
    "task_expert_widths": (5, 4),
    "task_own_experts": 2,
    "tower_widths": (4, 3),
    "gate_width": 4,
}


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

    def expert(at, x, s, k, width):
        """Expert k of scenario s: its columns of the wide first layer, then its own second one."""
        mine = slice(k * width, (k + 1) * width)
        h = paper.relu(x @ state[f"{at}.first.weight"][s, 0][:, mine] + state[f"{at}.first.bias"][s, 0][mine])
        return paper.mlp(state, f"{at}.rest", h, lambda one: one[s, k])

    def task_mixture(bottom, s, head):
        shared = [expert("task.shared", bottom, s, k, 5) for k in range(2)]
        own = [expert("task.own", bottom, s, 2 * head + k, 5) for k in range(2)]
        share = (bottom @ state["task.gate.weight"][s, 0])[4 * head : 4 * head + 4]
        return sum(w * e for w, e in zip(paper.softmax(share), [*shared, *own], strict=True))

    def one_scenario(x, s, head):
        shared = [paper.mlp(state, "shared.networks", x, lambda one, k=k: one[k]) for k in range(3)]
        share = paper.softmax(state["shared_gate.layer.weight"] @ x + state["shared_gate.layer.bias"])
        bottom = sum(w * e for w, e in zip(share, shared, strict=True))
        if without != "scenario_cgc":
            own = [expert("scenario.experts", x, s, k, 6) for k in range(3)]
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


def test_before_training_the_gates_are_neutral_and_the_net_equals_the_ungated_one(paper):
    torch.manual_seed(0)
    layout = example_layout(3)
    gated = build("aem2tl", layout, ("click", "buy"), SMALL)
    ungated = build("aem2tl", layout, ("click", "buy"), {**SMALL, "gating": False})
    ungated.load_state_dict({key: one for key, one in gated.state_dict().items() if not key.startswith("gates.")})
    batch = random_batch(layout, 9, seed=8)
    x = torch.randn(9, gated.gates[0].first.in_features)
    assert all(torch.equal(gate(x), torch.ones(9, 2 * width)) for gate, width in zip(gated.gates, (4, 3), strict=True))
    for head, one in gated(batch).logits.items():
        assert torch.equal(one, ungated(batch).logits[head])
