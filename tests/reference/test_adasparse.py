"""Yang et al. 2022: factors of each layer's neurons, those below a threshold cut to 0."""

import numpy as np


def test_adasparse_prunes_and_scales_the_inputs_of_each_layer(paper):
    found = paper.case("adasparse", widths=(12, 7), tower_widths=(5,), pruner_width=6, epsilon=0.9)
    state, cut = found.state, []

    def affine(name, x):
        return state[f"{name}.weight"] @ x + state[f"{name}.bias"]

    def logit(row, head):
        h = paper.x_row(state, found.batch, row)
        scenario = paper.scenario_row(state, int(found.batch.scenario[row]))
        for layer in range(2):
            hidden = paper.relu(affine(f"pruners.{layer}.first", np.concatenate([scenario, h])))
            factor = 2 * paper.sigmoid(affine(f"pruners.{layer}.last", hidden))
            cut.append(np.mean(factor <= 0.9))
            h = paper.relu(affine(f"layers.{layer}", h * np.where(factor > 0.9, factor, 0.0)))
        return paper.mlp(state, "towers.network", h, lambda one: one[head], linear_end=True)[0]

    paper.agree(found, logit)
    assert 0.0 < np.mean(cut) < 1.0  # some neurons were cut and some kept
