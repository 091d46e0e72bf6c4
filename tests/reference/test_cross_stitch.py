"""Misra et al. 2016: networks of the heads, mixed after every layer."""

import pytest
import torch

from polyrec.models import build
from polyrec.testing import example_layout


def test_cross_stitch_mixes_the_layers_of_both_heads(paper):
    found = paper.case("cross_stitch", tower_widths=(12, 7))
    state = found.state

    def logit(row, head):
        z = [paper.x_row(state, found.batch, row)] * 2
        for layer in range(2):
            weight, bias = state[f"layers.{layer}.weight"], state[f"layers.{layer}.bias"]
            h = [paper.relu(z[t] @ weight[t] + bias[t]) for t in range(2)]
            a = state[f"stitches.{layer}"]
            z = [a[t, 0] * h[0] + a[t, 1] * h[1] for t in range(2)]
        return (z[head] @ state["ends.weight"][head] + state["ends.bias"][head])[0]

    paper.agree(found, logit)


@pytest.mark.parametrize(("heads", "row"), [("a", [0.9]), ("ab", [0.9, 0.1]), ("abc", [0.9, 0.05, 0.05])])
def test_a_head_starts_with_its_own_layer_for_the_most_part(heads, row):
    model = build("cross_stitch", example_layout(), tuple(heads))
    for stitch in model.stitches:
        assert stitch[0].tolist() == pytest.approx(row)
        assert torch.allclose(stitch.diagonal(), torch.full((len(heads),), 0.9))
