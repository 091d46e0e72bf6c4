"""Tang et al. 2020, equations 1 to 7."""

import numpy as np
import pytest

OWN, SHARED = 2, 3
COUNT = 2 * OWN + SHARED


@pytest.mark.parametrize("towers", ["cell", "task"])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_ple_mixes_own_and_shared_experts_level_by_level(paper, levels, towers):
    found = paper.case(
        "ple",
        levels=levels,
        shared_experts=SHARED,
        head_experts=OWN,
        expert_widths=(10, 6),
        tower_widths=(5,),
        towers=towers,
    )
    state = found.state

    def of_scenario(row, head, s):
        x = paper.x_row(state, found.batch, row)
        own, shared = [x, x], x
        for level in range(levels):
            at = f"levels.{level}"
            answers = []
            for expert in range(COUNT):
                rows = own[expert // OWN] if expert < 2 * OWN else shared
                answers.append(paper.mlp(state, f"{at}.experts.networks", rows, lambda one, e=expert: one[e]))
            streams = []
            for t in range(2):
                weight, bias = state[f"{at}.gates.layer.weight"], state[f"{at}.gates.layer.bias"]
                weight, bias = (weight[s, t], bias[s, t]) if towers == "cell" else (weight[t], bias[t])
                mine = answers[t * OWN : (t + 1) * OWN] + answers[2 * OWN :]
                share = paper.softmax(own[t] @ weight + bias)
                streams.append(sum(a * b for a, b in zip(share, mine, strict=True)))
            if level + 1 < levels:
                gate = state[f"{at}.shared_gate.weight"] @ shared + state[f"{at}.shared_gate.bias"]
                shared = sum(a * b for a, b in zip(paper.softmax(gate), answers, strict=True))
            own = streams
        pick = (lambda one: one[s, head]) if towers == "cell" else (lambda one: one[head])
        return paper.mlp(state, "towers.network", own[head], pick, linear_end=True)[0]

    paper.agree(
        found,
        lambda row, head: np.mean([of_scenario(row, head, s) for s in paper.scenarios_of(found.batch, row)]),
    )
