"""Guo et al. 2017: a factorisation machine beside a network on the same embeddings."""

from itertools import combinations

import torch

from polyrec.models import build
from polyrec.testing import example_layout


def test_deepfm_adds_every_product_of_two_features(paper):
    found = paper.case("deepfm", widths=(12, 7), tower_widths=(5,))
    state = found.state

    def logit(row, head):
        x = paper.x_row(state, found.batch, row)
        fields = paper.field_rows(state, x)
        pairs = sum(fields[i] * fields[j] for i, j in combinations(range(11), 2))
        h = paper.torch_mlp(state, "bottom", x)
        deep = paper.mlp(state, "towers.network", h, lambda one: one[head], linear_end=True)[0]
        return paper.linear_row(state, "linear", found.batch, row)[head] + pairs @ state["factors"][head] + deep

    paper.agree(found, logit)


def test_the_factors_start_as_the_papers_inner_products():
    assert torch.equal(build("deepfm", example_layout(), ("click", "buy")).factors, torch.ones(2, 16))
