import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrec.evaluation.figures import dots, forest, heat
from polyrec.evaluation.figures.cells import Cells
from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.figures.svg import shortened
from polyrec.schema import Target

BUY, AGAIN = Target("buy"), Target("again", "buy")


def row(scenario, target, metric="auc", value=0.8, low=None, high=None, n=10_000, positives=500, note=None):
    return {
        "scenario": scenario, "task": target.task, "space": target.space, "metric": metric, "value": value,
        "low": low, "high": high, "n": n, "positives": positives, "note": note,
    }  # fmt: skip


def texts(picture):
    return [one.text for one in ET.fromstring(picture).iter("text")]


def hints(picture):
    root = ET.fromstring(picture)
    return [one.find("title").text for one in root.iter() if one is not root and one.find("title") is not None]


def marks(picture, style):
    return [one for one in ET.fromstring(picture).iter() if style in (one.get("class") or "").split()]


# markup


@given(st.text())
def test_any_text_comes_out_of_markup_as_it_went_in(words):
    shown = tag("b", words, title=words)
    clean = "".join(one for one in words if one in "\t\n" or (one >= " " and one not in "\ufffe\uffff"))
    if clean == words and "\r" not in words and not any(0xD800 <= ord(one) < 0xE000 for one in words):
        element = ET.fromstring(shown)
        assert (element.text or "") == words
        assert element.get("title") == words.replace("\n", " ").replace("\t", " ")
    assert shown.count("<") == 2


def test_only_markup_is_taken_as_it_is():
    assert join("<i>", Markup("<i>x</i>"), None) == "&lt;i&gt;<i>x</i>"


def test_names_that_python_reserves_lose_their_underscore():
    assert (
        tag("label", for_="a", class_="b", aria_hidden="true") == '<label for="a" class="b" aria-hidden="true"></label>'
    )


def test_long_names_are_cut_and_short_ones_are_not():
    assert shortened("home", 100) == "home"
    assert shortened("x" * 100, 70).endswith("…")
    assert len(shortened("x" * 100, 70)) < 15


# cells


def test_cells_know_scenarios_apart_from_the_pooled_and_the_mean_rows():
    cells = Cells.of([row("home", BUY), row("*", BUY), row("macro", BUY), row("search", BUY)])
    assert cells.scenarios == ("home", "search")
    assert cells.totals == ("*", "macro")


def test_metrics_that_are_not_known_here_come_last_under_their_own_name():
    cells = Cells.of([row("a", BUY, "ndcg@10"), row("a", BUY, "pcoc"), row("a", BUY)])
    assert cells.metrics == ("auc", "pcoc", "ndcg@10")
    assert "ndcg@10 of 1 scenario and 1 target" in heat.heat_map(cells, "ndcg@10")


def test_a_single_scenario_has_no_totals_beside_it():
    assert Cells.of([row("home", BUY), row("*", BUY), row("macro", BUY)]).totals == ()


def test_nan_and_infinity_count_as_undefined():
    cells = Cells.of([row("a", BUY, value=math.nan), row("b", BUY, value=math.inf)])
    assert [one.value for one in cells.by_key.values()] == [None, None]


@pytest.mark.parametrize(
    ("n", "positives", "few"), [(100, 50, False), (100, 49, True), (1000, 951, True), (9, 0, True)]
)
def test_a_cell_is_few_when_either_class_has_fewer_than_fifty_rows(n, positives, few):
    assert Cells.of([row("a", BUY, n=n, positives=positives)]).get("a", BUY, "auc").few is few


# heat map


def test_every_cell_shows_its_value_and_its_support():
    table = heat.heat_map(Cells.of([row("home", BUY, value=0.81234, low=0.8, high=0.82)]), "auc")
    cell = ET.fromstring(table.partition("<p")[0].replace("<col>", "")).find(".//td")
    assert cell.find("b").text == "0.8123"
    assert cell.find("small").text == "500 of 10 k"
    assert cell.get("title") == "0.8000 to 0.8200 (95 %) · 500 positives in 10,000 rows"


def test_an_undefined_cell_is_hatched_and_says_why():
    cells = Cells.of([row("home", BUY), row("new", BUY, value=None, positives=0, note="no positives")])
    table = heat.heat_map(cells, "auc")
    assert 'class="hatch" title="500' not in table
    assert (
        '<td class="hatch" title="0 positives in 10,000 rows · no positives"><b>–</b><small>no positives</small>'
        in table
    )


def test_the_best_of_a_column_ends_the_ramp_whatever_the_direction_of_its_metric():
    high, low = heat.Shading.over("auc", [0.5, 0.9]), heat.Shading.over("log_loss", [0.5, 0.9])
    assert (high(0.9), high(0.5)) == ("s8", "s0")
    assert (low(0.9), low(0.5)) == ("s0", "s8")


def test_noise_is_not_stretched_over_the_whole_ramp():
    shade = heat.Shading.over("auc", [0.800, 0.802])
    assert shade(0.800) == shade(0.802) or {shade(0.800), shade(0.802)} == {"s3", "s4"}


@pytest.mark.parametrize(("value", "shade"), [(0.1, "d0"), (0.5, "d0"), (1.0, "d4"), (2.0, "d8"), (9.0, "d8")])
def test_predicted_over_observed_is_shaded_around_one(value, shade):
    assert heat.Shading.over("pcoc", [0.2, 3.0])(value) == shade


def test_a_cell_too_small_to_judge_is_unshaded_and_sets_no_range():
    rows = [row("a", BUY, value=0.80), row("b", BUY, value=0.95), row("tiny", BUY, value=0.1, n=60, positives=3)]
    table = heat.heat_map(Cells.of(rows), "auc")
    assert 'class="s0"' in table
    assert 'class="s8"' in table
    assert '<td class="few"' in table.replace("s0 few", "few")


def test_many_scenarios_run_from_most_rows_to_fewest():
    cells = Cells.of([row(f"s{place}", BUY, n=1000 + place) for place in range(12)])
    assert heat.by_rows(cells)[:2] == ["s11", "s10"]


# dots and whiskers


def test_scenarios_run_from_best_to_worst_below_the_totals():
    rows = [row("low", BUY, value=0.7), row("high", BUY, value=0.9), row("*", BUY, value=0.85), row("macro", BUY)]
    words = texts(dots.whiskers(Cells.of(rows), BUY))
    order = [words.index(name) for name in ("all rows pooled", "mean", "high", "low")]
    assert order == sorted(order)
    assert "0.9000" in words


def test_a_tiny_cell_far_away_does_not_squeeze_the_others():
    rows = [row("a", BUY, value=0.80, low=0.79, high=0.81), row("b", BUY, value=0.84, low=0.83, high=0.85)]
    odd = row("tiny", BUY, value=0.2, low=0.0, high=0.9, n=20, positives=2)
    with_it, without = (dots.whiskers(Cells.of(found), BUY) for found in ([*rows, odd], rows))
    places = [
        [one.get("cx") for one in marks(picture, "plain") if one.tag == "circle"] for picture in (with_it, without)
    ]
    assert places[0] == places[1]
    assert any("tiny" in hint for hint in hints(with_it))


def test_more_scenarios_than_can_be_named_become_ranks():
    rows = [row(f"s{place}", BUY, value=0.6 + place / 1000) for place in range(forest.MOST_NAMED + 1)]
    picture = dots.whiskers(Cells.of(rows), BUY)
    assert len(marks(picture, "tiny")) == forest.MOST_NAMED + 1
    assert "first: s20" in texts(picture)
    assert "last: s0" in texts(picture)


def test_a_target_without_a_value_has_no_picture():
    assert dots.whiskers(Cells.of([row("a", BUY, value=None, note="no rows")]), BUY) is None
