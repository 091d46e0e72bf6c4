"""Cheng et al. 2016: a linear model of values and crosses, beside a network."""

import pytest

from polyrec.errors import ConfigError
from polyrec.models import build
from polyrec.testing import CHECKS, Subject, example_layout

SIZES = {"scenario": 3, "user": 23, "item": 31, "brand": 11, "hour": 26}


def deep(paper, found, row, head):
    h = paper.torch_mlp(found.state, "bottom", paper.x_row(found.state, found.batch, row))
    return paper.mlp(found.state, "towers.network", h, lambda one: one[head], linear_end=True)[0]


def values(batch, row):
    named = zip(("user", "item", "brand", "hour"), batch.ids[row].tolist(), strict=True)
    return {"scenario": int(batch.scenario[row]), **dict(named)}


def check(paper, found, crosses, buckets):
    """`crosses`: tuples of names; the rows of the one table lie one cross after the other."""

    def logit(row, head):
        told, start, total = values(found.batch, row), 0, 0.0
        for cross in crosses:
            place, count = 0, 1
            for name in cross:  # the place of a combination, as a number whose digits are the values
                place, count = place * SIZES[name] + told[name], count * SIZES[name]
            count = min(count, buckets)
            if not ("scenario" in cross and told["scenario"] < 0):
                total += found.state["crosses.table.weight"][start + place % count, head]
            start += count
        assert start == len(found.state["crosses.table.weight"])
        linear = paper.linear_row(found.state, "wide", found.batch, row)[head]
        return deep(paper, found, row, head) + linear + total

    paper.agree(found, logit)


def test_widedeep_remembers_values_and_every_feature_within_its_scenario(paper):
    found = paper.case("widedeep", widths=(12, 7), tower_widths=(5,))
    check(paper, found, [("scenario", name) for name in ("user", "item", "brand", "hour")], 100_003)


def test_crosses_are_those_asked_for_and_large_ones_are_hashed(paper):
    crosses = (("user", "item", "hour"), ("brand", "scenario"), ("hour", "brand"))
    found = paper.case("widedeep", widths=(12,), tower_widths=(5,), crosses=crosses, buckets=97)
    check(paper, found, crosses, 97)


def test_without_crosses_the_wide_part_is_linear(paper):
    found = paper.case("widedeep", widths=(12,), tower_widths=(), crosses=())
    assert "crosses.table.weight" not in found.state
    paper.agree(
        found,
        lambda row, head: deep(paper, found, row, head) + paper.linear_row(found.state, "wide", found.batch, row)[head],
    )


@pytest.mark.parametrize("rule", [rule for rule in CHECKS if rule != "ids_stay_whole"])  # whose rows have one feature
def test_hashed_crosses_keep_the_contract(rule):
    options = {"crosses": (("user", "item"), ("scenario", "hour", "brand")), "buckets": 97}
    CHECKS[rule](Subject("widedeep", lambda layout, heads: build("widedeep", layout, heads, options)))


def test_a_cross_of_an_unknown_feature_is_refused():
    with pytest.raises(ConfigError, match=r"crosses: categorical feature 'itme' is not of the rows.*'item'"):
        build("widedeep", example_layout(), ("click",), {"crosses": [["scenario", "itme"]]})
