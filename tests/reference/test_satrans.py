"""Min et al. 2023: self-attention over features, queries and keys changed by a network made from the scenario."""

import numpy as np
import pytest

from polyrec.errors import ConfigError
from polyrec.models import build
from polyrec.testing import example_layout


def layer_norm(state, name, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * state[f"{name}.weight"] + state[f"{name}.bias"]


def test_satrans_lets_features_attend_to_one_another_as_the_scenario_says(paper):
    found = paper.case("satrans", layers=2, attention_heads=4, meta_width=3, meta_hidden=6, tower_widths=(5,))
    state = found.state

    def meta(name, q, made):
        weight = state[f"{name}.weight"][0] + np.tensordot(made, state[f"{name}.weight"][1:], 1)
        return q @ weight + state[f"{name}.bias"][0] + made @ state[f"{name}.bias"][1:]

    def adapted(name, q, made):
        return layer_norm(
            state, f"{name}.meta_norm", q + meta(f"{name}.down", paper.relu(meta(f"{name}.up", q, made)), made)
        )

    def attended(name, y, made):
        query, key, value = np.split(y @ state[f"{name}.projections.weight"].T, 3, 1)
        query, key = adapted(name, query, made), adapted(name, key, made)
        found = np.zeros_like(y)
        for head in range(4):
            columns = slice(4 * head, 4 * head + 4)
            for i in range(len(y)):
                near = np.array([query[i, columns] @ key[j, columns] for j in range(len(y))]) / 2.0
                found[i, columns] = paper.softmax(near) @ value[:, columns]
        return layer_norm(state, f"{name}.norm", y + found @ state[f"{name}.out.weight"].T)

    def logit(row, head):
        y = paper.field_rows(state, paper.x_row(state, found.batch, row))
        encoding = paper.scenario_row(state, int(found.batch.scenario[row]), "encoding")
        made = paper.relu(state["encoder.weight"] @ encoding + state["encoder.bias"])
        for layer in range(2):
            y = attended(f"layers.{layer}", y, made)
        return paper.mlp(state, "towers.network", y.flatten(), lambda one: one[head], linear_end=True)[0]

    paper.agree(found, logit)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match="dim = 16 is not a multiple of attention_heads = 3"):
        build("satrans", example_layout(), ("click",), {"attention_heads": 3})
