"""Zou et al. 2022: gates select experts by the divergence of whose they are from a one-hot and from the uniform."""

import math

import numpy as np
import pytest
import torch

from polyrec.errors import ConfigError
from polyrec.models import build
from polyrec.nn.selection import ExpertSelection
from polyrec.testing import example_layout, random_batch

OPTIONS = {
    "experts": 5,
    "task_experts": 4,
    "expert_widths": (10, 6),
    "task_expert_widths": (7,),
    "layers": 2,
    "task_layers": 2,
    "own_experts": 1,
    "shared_experts": 2,
    "tower_widths": (5,),
}


def selected(z, group, own, common):
    """Places of the selected experts and their shares, from z [C, E]; and the divergences of own and common ones."""
    groups, experts = z.shape
    q = np.exp(z) / np.exp(z).sum(0)  # by expert over groups
    alone = [-math.log(q[group, k]) for k in range(experts)]
    alike = [sum(math.log((1 / groups) / q[j, k]) / groups for j in range(groups)) for k in range(experts)]
    mine, ours = sorted(range(experts), key=lambda k: alone[k])[:own], sorted(range(experts), key=lambda k: alike[k])
    chosen = sorted({*mine, *ours[:common]})
    share = np.exp(z[group, chosen]) / np.exp(z[group, chosen]).sum()
    return chosen, share, np.mean([alone[k] for k in mine]), np.mean([alike[k] for k in ours[:common]])


def test_aesm2_selects_experts_by_scenario_then_by_task(paper):
    found = paper.case("aesm2", **OPTIONS)
    state, left_out = found.state, set()

    def layer(name, h, told, group, common=2):
        u = np.concatenate([h, told])
        weight, bias = state[f"{name}.selection.gates.weight"], state[f"{name}.selection.gates.bias"]
        z = np.stack([u @ weight[j] + bias[j] for j in range(len(weight))])
        chosen, share, *_ = selected(z, group, 1, common)
        left_out.add(len(chosen))
        return sum(
            part * paper.mlp(state, f"{name}.experts.networks", h, lambda one, k=k: one[k])
            for k, part in zip(chosen, share, strict=True)
        )

    def of_scenario(row, head, s):
        h = paper.x_row(state, found.batch, row)
        told = h[-16:]
        for place in range(2):
            h = layer(f"layers.{place}", h, told, s)
        for place in range(2):
            h = layer(f"task_layers.{place}", h, np.concatenate([told, state["tasks"][head]]), head)
        return paper.mlp(state, "towers.network", h, lambda one: one[head], linear_end=True)[0]

    paper.agree(
        found, lambda row, head: np.mean([of_scenario(row, head, s) for s in paper.scenarios_of(found.batch, row)])
    )
    assert left_out == {2, 3}  # an expert may be its own and common


def test_a_selection_is_as_near_to_its_aims_as_its_divergences_say():
    torch.manual_seed(0)
    selection = ExpertSelection(4, experts=6, groups=3, own=2, common=3).double()
    u, group = torch.randn(20, 4, dtype=torch.float64), torch.arange(20) % 3
    with torch.no_grad():
        found = selection(u, group)
    for row in range(20):
        z = (u[row] @ selection.gates.weight + selection.gates.bias).detach().numpy()
        chosen, share, own, common = selected(z, int(group[row]), 2, 3)
        expected = np.zeros(6)
        expected[chosen] = share
        np.testing.assert_allclose(found.share[row].numpy(), expected, atol=1e-12)
        assert float(found.own[row]) == pytest.approx(own)
        assert float(found.common[row]) == pytest.approx(common)


def test_equal_gates_select_the_first_experts_in_any_company():
    selection = ExpertSelection(4, experts=6, groups=1, own=2, common=3)
    for rows in (1, 7, 40):
        share = selection(torch.randn(rows, 4), torch.zeros(rows, dtype=torch.long)).share
        assert (share > 0).tolist() == [[True] * 3 + [False] * 3] * rows


def test_penalties_are_means_over_rows_of_known_scenario_heads_and_layers():
    options = OPTIONS | {"noise": 0.0, "own": 0.5, "common": 2.0}
    layout = example_layout()
    torch.manual_seed(1)
    model = build("aesm2", layout, ("click", "buy"), options).train()
    batch = random_batch(layout, 40, seed=2, unknown=0.4)
    known = torch.nonzero(batch.scenario >= 0)[:, 0]
    found = []
    for one in (*model.layers, *model.task_layers):
        one.selection.register_forward_hook(lambda _, __, out: found.append(out))
    alone = {name: float(one.detach()) for name, one in model(batch.select(known)).penalties.items()}
    own, common = (float(torch.stack([one[place].mean() for one in found]).mean().detach()) for place in (1, 2))
    assert alone == pytest.approx({"own experts": 0.5 * own, "common experts": 2.0 * common}, rel=1e-5)
    mixed = model(batch).penalties
    assert {name: float(one.detach()) for name, one in mixed.items()} == pytest.approx(alone, rel=1e-5)
    lost = torch.nonzero(batch.scenario < 0)[:, 0]
    assert {float(one.detach()) for one in model(batch.select(lost)).penalties.values()} == {0.0}
    assert not model.eval()(batch).penalties


def test_selecting_more_experts_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="9 experts are selected of experts = 6"):
        build("aesm2", example_layout(), ("click",), {"own_experts": 9})
