import numpy as np
import pytest


@pytest.mark.parametrize("towers", ["cell", "task"])
def test_shared_bottom_has_one_bottom_and_a_tower_for_each_cell_or_task(paper, towers):
    found = paper.case("shared_bottom", widths=(12, 7), tower_widths=(5,), towers=towers)

    def logit(row, head):
        h = paper.torch_mlp(found.state, "bottom", paper.x_row(found.state, found.batch, row))
        if towers == "task":
            return paper.mlp(found.state, "towers.network", h, lambda one: one[head], linear_end=True)[0]
        return np.mean(
            [
                paper.mlp(found.state, "towers.network", h, lambda one, s=s: one[s, head], linear_end=True)[0]
                for s in paper.scenarios_of(found.batch, row)
            ]
        )

    paper.agree(found, logit)
