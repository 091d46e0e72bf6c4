"""Wang et al. 2021: cross layers beside a network, or below it."""

import pytest


def crossed(state, x, layers, rank):
    """x through the cross layers: `x_{l+1} = x_0 * (W x_l + b) + x_l`."""
    last = x
    for layer in range(layers):
        if rank is None:
            weight, bias = state[f"layers.{layer}.map.weight"], state[f"layers.{layer}.map.bias"]
        else:  # W is the product of two thin matrices
            weight = state[f"layers.{layer}.map.1.weight"] @ state[f"layers.{layer}.map.0.weight"]
            bias = state[f"layers.{layer}.map.1.bias"]
        last = x * (weight @ last + bias) + last
    return last


@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("structure", ["parallel", "stacked"])
def test_dcn_crosses_its_inputs(paper, structure, rank):
    found = paper.case("dcn", widths=(12, 7), tower_widths=(5,), layers=2, rank=rank, structure=structure)
    state = found.state

    def logit(row, head):
        x = paper.x_row(state, found.batch, row)
        cross = crossed(state, x, 2, rank)
        h = paper.torch_mlp(state, "bottom", x if structure == "parallel" else cross)
        deep = paper.mlp(state, "towers.network", h, lambda one: one[head], linear_end=True)[0]
        return deep + (state["ends.weight"][head] @ cross if structure == "parallel" else 0.0)

    paper.agree(found, logit)
