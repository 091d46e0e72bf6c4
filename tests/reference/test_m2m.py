"""Zhang et al. 2022: meta unit, meta attention over a row's experts, meta tower."""

import numpy as np


def leaky(x):
    return np.where(x > 0, x, 0.01 * x)


def test_m2m_makes_attention_and_towers_from_the_scenario(paper):
    found = paper.case("m2m", experts=3, expert_widths=(10, 6), meta_width=4, tower_layers=2)
    state = found.state

    def meta(name, x, made):
        weight = state[f"{name}.weight"][0] + np.tensordot(made, state[f"{name}.weight"][1:], 1)
        return x @ weight + state[f"{name}.bias"][0] + made @ state[f"{name}.bias"][1:]

    def logit(row, head):
        x = paper.x_row(state, found.batch, row)
        scenario = paper.scenario_row(state, int(found.batch.scenario[row]))
        made = paper.relu(state["scenario.weight"] @ scenario + state["scenario.bias"])
        experts = [paper.mlp(state, "experts.networks", x, lambda one, e=e: one[e]) for e in range(3)]
        asked = [leaky(meta("attention", np.concatenate([h, state["tasks"][head]]), made)) for h in experts]
        share = paper.softmax(np.array([state["score.weight"][0] @ one for one in asked]))
        h = sum(a * b for a, b in zip(share, experts, strict=True))
        for layer in range(2):
            h = leaky(meta(f"towers.{layer}", h, made) + h)
        return h @ state["ends.weight"][head, :, 0] + state["ends.bias"][head, 0]

    paper.agree(found, logit)
