"""Zhang et al. 2024: common, scenarios' and tasks' experts, own ones and the others' by learned weights."""

import numpy as np
import pytest
import torch

from polyrec.models import build
from polyrec.testing import example_layout, random_batch


def layer_norm(x):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5)


def test_m3oe_fuses_three_mixtures_on_two_levels(paper):
    found = paper.case("m3oe", widths=(12, 8), experts=3, expert_widths=(10, 6), tower_widths=(5,))
    state = found.state
    assert not np.allclose(state["of_scenario.balance"], 0.0)

    def normed(name, x):
        x = layer_norm(state[f"{name}.0.weight"] @ x + state[f"{name}.0.bias"])
        return paper.relu(x * state[f"{name}.1.weight"] + state[f"{name}.1.bias"])

    def group(name, z, member):
        answers = [
            paper.mlp(state, f"{name}.experts.networks", z, lambda one, e=e: one[e])
            for e in range(len(state[f"{name}.experts.networks.layers.0.weight"]))
        ]
        mine = paper.sigmoid(state[f"{name}.balance"])
        others = np.mean([one for place, one in enumerate(answers) if place != member], 0)
        return paper.sigmoid(state[f"{name}.weight"]) * (mine * answers[member] + (1 - mine) * others)

    def of_scenario(row, head, s):
        x = paper.x_row(state, found.batch, row)
        weight = state["bottom.star.weight"][0] * state["bottom.star.own_weight"][s, 0]
        u = x @ weight + state["bottom.star.bias"][0] + state["bottom.star.own_bias"][s, 0]
        z = normed("bottom.layer", u) + normed("bottom.around", x)
        answers = [paper.mlp(state, "common.networks", z, lambda one, e=e: one[e]) for e in range(3)]
        columns = slice(head * 3, (head + 1) * 3)
        gate = z @ state["gates.layer.weight"][s, 0][:, columns] + state["gates.layer.bias"][s, 0, columns]
        mixed = sum(a * b for a, b in zip(paper.softmax(gate), answers, strict=True))
        mixed = mixed + group("of_scenario", z, s) + group("of_task", z, head)
        return paper.mlp(state, "towers.network", mixed, lambda one: one[s, head], linear_end=True)[0]

    paper.agree(
        found, lambda row, head: np.mean([of_scenario(row, head, s) for s in paper.scenarios_of(found.batch, row)])
    )


def test_at_the_start_the_own_expert_weighs_more_than_all_others_together():
    model = build("m3oe", example_layout(3), ("click", "buy"))
    for group in (model.of_scenario, model.of_task):
        members = group.experts.count
        group.experts.forward = lambda z, members=members: torch.eye(members).expand(len(z), -1, -1)
        found = group(torch.zeros(1, 1), torch.eye(members, dtype=torch.bool)[None])[:, 0]  # [members, members]
        start = 1 / (1 + np.exp(-1))
        assert found.diagonal().tolist() == pytest.approx([start * start] * members)
        assert found[0, 1].item() == pytest.approx(start * (1 - start) / (members - 1))


def test_the_gate_reads_the_common_input_and_does_not_teach_it():
    model, seen = build("m3oe", example_layout(), ("click",)), []
    model.gates.register_forward_hook(lambda _, read, __: seen.append(read[0]))
    model(random_batch(example_layout(), 6))
    assert not seen[0].requires_grad


def test_one_scenario_and_one_head_leave_nothing_to_balance():
    layout = example_layout(1)
    model = build("m3oe", layout, ("click",))
    assert not any(name.endswith("balance") for name, _ in model.named_parameters())
    assert bool(torch.isfinite(model(random_batch(layout, 6, unknown=0.3)).logits["click"]).all())
