"""Lian et al. 2018: compressed interaction of whole embeddings, written as the paper's sums."""

import numpy as np


def test_xdeepfm_multiplies_fields_layer_by_layer(paper):
    found = paper.case("xdeepfm", widths=(12, 7), tower_widths=(5,), maps=(4, 3))
    state = found.state

    def logit(row, head):
        x = paper.x_row(state, found.batch, row)
        first = paper.field_rows(state, x)  # [11, 16]
        last, sums = first, []
        for layer, width in enumerate((4, 3)):
            weight = state[f"products.layers.{layer}.weight"].reshape(width, len(last), 11)
            after = np.zeros((width, 16))
            for h in range(width):
                for i in range(len(last)):
                    for j in range(11):
                        after[h] += weight[h, i, j] * last[i] * first[j]
            last = after
            sums += after.sum(1).tolist()
        deep = paper.mlp(
            state, "towers.network", paper.torch_mlp(state, "bottom", x), lambda one: one[head], linear_end=True
        )[0]
        products = state["ends.weight"][head] @ np.array(sums)
        return paper.linear_row(state, "linear", found.batch, row)[head] + products + deep

    paper.agree(found, logit)
