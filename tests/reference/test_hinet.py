"""Zhou et al. 2023: scenario extraction, attention over the other scenarios, task extraction."""

import numpy as np
import pytest
import torch

from polyrec.models import build
from polyrec.testing import example_layout, random_batch

OPTIONS = {
    "shared_experts": 3,
    "own_experts": 2,
    "expert_widths": (10, 6),
    "task_shared_experts": 2,
    "task_own_experts": 2,
    "task_expert_widths": (8, 4),
    "tower_widths": (5,),
}


def mixture(shares, answers):
    return sum(a * b for a, b in zip(shares, answers, strict=True))


def test_hinet_reads_what_is_common_what_is_its_own_and_what_others_know(paper):
    found = paper.case("hinet", **OPTIONS)
    state = found.state

    def extracted(x, s):
        answers = [paper.mlp(state, "extract.shared.networks", x, lambda one, e=e: one[e]) for e in range(3)]
        gate = state["extract.shared_gate.layer.weight"] @ x + state["extract.shared_gate.layer.bias"]
        common, every = mixture(paper.softmax(gate), answers), []
        for j in range(3):
            places = (2 * j, 2 * j + 1)
            own = [paper.mlp(state, "extract.every.networks", x, lambda one, p=p: one[p]) for p in places]
            every.append(
                mixture(paper.softmax(x @ state["extract.gates.weight"][j] + state["extract.gates.bias"][j]), own)
            )
        others = [j for j in range(3) if j != s]
        asked = state["extract.attention.weight"] @ state["inputs.scenario"][s] + state["extract.attention.bias"]
        attended = mixture(paper.softmax(asked[others]), [every[j] for j in others])
        return np.concatenate([common, every[s], attended])

    def of_scenario(row, head, s):
        c = extracted(paper.x_row(state, found.batch, row), s)
        answers = []
        for own in range(2):
            place = head * 2 + own
            columns = slice(place * 8, (place + 1) * 8)
            h = c @ state["tasks.own.first.weight"][s, 0][:, columns] + state["tasks.own.first.bias"][s, 0, columns]
            answers.append(paper.mlp(state, "tasks.own.rest", paper.relu(h), lambda one, p=place: one[s, p]))
        answers += [paper.mlp(state, "tasks.shared.networks", c, lambda one, e=e: one[e]) for e in range(2)]
        columns = slice(head * 4, (head + 1) * 4)
        gate = c @ state["tasks.gates.layer.weight"][s, 0][:, columns] + state["tasks.gates.layer.bias"][s, 0, columns]
        mixed = mixture(paper.softmax(gate), answers)
        return paper.mlp(state, "towers.network", mixed, lambda one: one[s, head], linear_end=True)[0]

    paper.agree(
        found, lambda row, head: np.mean([of_scenario(row, head, s) for s in paper.scenarios_of(found.batch, row)])
    )


@pytest.mark.parametrize("name", ["hinet", "hmoe"])
def test_with_one_scenario_there_is_no_other_to_read(name):
    layout = example_layout(1)
    model = build(name, layout, ("click", "buy"))
    logits = model(random_batch(layout, 6, unknown=0.3)).logits
    assert all(bool(torch.isfinite(one).all()) for one in logits.values())
