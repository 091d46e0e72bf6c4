"""Sheng et al. 2021, equations 4 to 10."""

import numpy as np
import torch

from polyrec.testing import random_batch

EPS = 1e-5


def normalised(state, x, s):
    """Equation 6: running moments; an unknown scenario pools those of all, and has no part of its own."""
    mean, var = state["norm.mean"], state["norm.var"]
    if s < 0:
        pooled = mean.mean(0)
        spread = np.mean([v + (m - pooled) ** 2 for m, v in zip(mean, var, strict=True)], 0)
        return state["norm.gamma"] * (x - pooled) / np.sqrt(spread + EPS) + state["norm.beta"]
    z = (x - mean[s]) / np.sqrt(var[s] + EPS)
    return state["norm.gamma"] * state["norm.own_gamma"][s] * z + state["norm.beta"] + state["norm.own_beta"][s]


def star(state, at, head, s, h):
    """Equation 7."""
    weight, bias = state[f"{at}.weight"][head], state[f"{at}.bias"][head]
    if s >= 0:
        weight, bias = weight * state[f"{at}.own_weight"][s, head], bias + state[f"{at}.own_bias"][s, head]
    return h @ weight + bias


def test_star_multiplies_shared_and_own_weights_and_adds_an_auxiliary_logit(paper):
    found = paper.case("star", widths=(12, 7), tower_widths=(5,), aux_widths=(4,))
    state = found.state

    def logit(row, head):
        s = int(found.batch.scenario[row])
        z = normalised(state, paper.x_row(state, found.batch, row, scenario=False), s)
        h = z
        for layer in range(2):
            h = paper.relu(star(state, f"layers.{layer}", 0, s, h))
        h = paper.relu(star(state, "towers.0", head, s, h))
        main = star(state, "towers.1", head, s, h)[0]
        extra = paper.torch_mlp(state, "aux", np.concatenate([paper.scenario_row(state, s), z]))
        return main + state["aux_end.weight"][head] @ extra + state["aux_end.bias"][head]

    paper.agree(found, logit)


def test_star_in_training_uses_the_moments_of_the_scenarios_rows_in_the_batch(paper):
    found = paper.case("star", widths=(12, 7), tower_widths=(5,), aux_widths=(4,))
    model, state = found.model.train(), found.state
    batch = random_batch(model.inputs.layout, 12, seed=2)
    batch = batch.map(lambda one: one.double() if one.is_floating_point() else one)
    rows = [paper.x_row(state, batch, row, scenario=False) for row in range(12)]
    seen = {}
    model.norm.register_forward_hook(lambda module, given, made: seen.update(z=made.detach().numpy()))
    with torch.no_grad():
        model(batch)
    expected = np.zeros((12, len(rows[0])))
    for row in range(12):
        s = int(batch.scenario[row])
        mine = np.stack([rows[other] for other in range(12) if int(batch.scenario[other]) == s])
        z = (rows[row] - mine.mean(0)) / np.sqrt(mine.var(0) + EPS)
        gamma = state["norm.gamma"] * state["norm.own_gamma"][s]
        expected[row] = gamma * z + state["norm.beta"] + state["norm.own_beta"][s]
    found_rows = sorted(seen["z"].tolist())
    np.testing.assert_allclose(found_rows, sorted(expected.tolist()), rtol=1e-8, atol=1e-8)
