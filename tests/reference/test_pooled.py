def test_pooled_is_one_network_with_the_scenario_as_a_feature(paper):
    found = paper.case("pooled", widths=(12, 7), tower_widths=(5,))

    def logit(row, head):
        h = paper.torch_mlp(found.state, "bottom", paper.x_row(found.state, found.batch, row))
        return paper.mlp(found.state, "towers.network", h, lambda one: one[head], linear_end=True)[0]

    paper.agree(found, logit)
