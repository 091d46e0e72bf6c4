import numpy as np


def test_single_reads_every_row_with_the_tables_and_layers_of_its_own_scenario(paper):
    found = paper.case("single", widths=(12, 7), tower_widths=(5,))

    def of_scenario(row, head, s):
        x = paper.x_row(found.state, found.batch, row, scenario=False, copy=s)
        h = paper.mlp(found.state, "bottom", x, lambda one: one[s, 0])
        return paper.mlp(found.state, "towers.network", h, lambda one: one[s, head], linear_end=True)[0]

    paper.agree(
        found,
        lambda row, head: np.mean([of_scenario(row, head, s) for s in paper.scenarios_of(found.batch, row)]),
    )
