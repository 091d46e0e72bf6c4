import json
import re
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser

import pytest

from polyrec.evaluation.compare import compare
from polyrec.evaluation.html import render, render_comparison, render_overview
from polyrec.evaluation.report import Report

VOID = {"meta", "input", "col", "br", "hr"}
EVIL = "<script>alert(1)</script>"


class Checker(HTMLParser):
    """Holds a page to balanced tags and unique ids, and collects what it refers to."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.words = [], [], [], []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "action", "data", "poster", "srcset"):
                self.links.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def read(page):
    """The page's visible text, after checking what holds for every page."""
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    assert set(checker.links) <= {f"#{one}" for one in checker.ids}, "a link leads outside the page"
    assert not re.search(r"https?:|url\(|@import", page)
    for picture in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        root = ET.fromstring(picture)
        assert root.get("aria-hidden") == "true" or (root.find("title").text and root.find("desc").text)
    return checker.text


def row(scenario, task="buy", space="all", metric="auc", value=0.8, n=10_000, positives=500, note=None, off=0.01):
    low, high = (None, None) if value is None or off is None else (value - off, value + off)
    return {
        "scenario": scenario, "task": task, "space": space, "metric": metric, "value": value, "low": low, "high": high,
        "n": n, "positives": positives, "note": note,
    }  # fmt: skip


def report(names=("home", "search", "feed"), recipe="mmoe", better=0.0, targets=(("buy", "all"), ("again", "buy"))):
    cells, bins = [], [{"predicted": rate, "observed": rate * 1.1, "n": 50_000} for rate in (0.01, 0.02, 0.04)]
    for task, space in targets:
        for place, name in enumerate((*names, "*", "macro")):
            cells.append(row(name, task, space, value=0.7 + better + 0.01 * (place % 7)))
            cells.append(row(name, task, space, "pcoc", 1.0))
    curves = [
        {"scenario": name, "task": task, "space": space, "bins": bins}
        for task, space in targets
        for name in (*names, "*")
    ]
    run = {"seconds": 61.2, "rows_per_second": 151_000, "parameters": 788_481, "peak_memory_mb": 900, "seed": 0}
    data = {"rows": {"train": 80_000, "valid": 10_000, "test": 10_000}, "notes": ["by time, test from day 9"]}
    return {"recipe": recipe, "split": "test", "cells": cells, "reliability": curves, "run": run, "data": data}


def events():
    steps = [
        {"kind": "step", "epoch": step // 50, "step": step, "losses": {"buy": 1 / (step + 1)}, "weights": {"buy": 1.0}}
        for step in range(100)
    ]
    return [
        *steps,
        {"kind": "evaluation", "step": 50, "score": 0.71},
        {"kind": "evaluation", "step": 99, "score": 0.73},
    ]


def test_a_page_says_what_was_trained_on_what_and_shows_every_part():
    words = read(render(report(), events()))
    for part in ("mmoe", "10,000 test rows", "3 scenarios", "2 tasks", "1 min 1 s", "788 k parameters", "seed 0"):
        assert part in words
    for heading in ("At a glance", "Cells", "How sure", "Calibration", "The data", "Training", "What these words mean"):
        assert heading in words
    for value in ("0.7000", "0.7100", "0.7200", "80,000", "by time, test from day 9", "best 0.7300"):
        assert value in words


def test_weights_that_never_move_are_not_drawn():
    assert "of the balancer" not in read(render(report(), events()))
    moving = [{"kind": "step", "step": step, "weights": {"buy": 1.0 + step}} for step in (1, 2)]
    assert "of the balancer" in read(render(report(), moving))


def test_a_usual_page_is_small():
    assert len(render(report(), events()).encode()) < 400_000


def test_the_same_report_gives_the_same_page():
    assert render(report(), events()) == render(json.loads(json.dumps(report())), events())


def test_every_name_is_escaped():
    odd = report((EVIL, "a&b", 'say "hi"'), recipe=EVIL, targets=((EVIL, "all"), ("x", EVIL)))
    odd["cells"][0] |= {"value": None, "low": None, "high": None, "note": EVIL}
    odd["run"][EVIL] = EVIL
    odd["data"]["notes"] = [EVIL]
    past = [{"kind": "step", "step": 1, "losses": {EVIL: 1.0}}, {"kind": "step", "step": 2, "losses": {EVIL: 1.0}}]
    for page in (render(odd, past), render(odd, title=EVIL), render_overview([odd, report()], events={EVIL: past})):
        words = read(page)
        assert page.count("<script") == 1
        assert "alert(1)" in words
        assert unescape(page).count(EVIL) > 10


def test_wrong_calibration_is_told_in_words_with_its_factor():
    found = report()
    found["cells"].append(row("home", metric="pcoc", value=1.32))
    found["cells"].append(row("feed", metric="pcoc", value=0.5))
    words = read(render(found))
    assert "buy in home is predicted 1.32 times too high." in words
    assert "buy in feed is predicted 2.00 times too low." in words
    assert "match observed" not in words


@pytest.mark.parametrize(
    ("value", "off", "positives"),
    [(1.05, 0.01, 500), (1.3, 0.4, 500), (1.3, None, 20), (1.15, None, 150)],
    ids=["small", "within its interval", "few rows", "within Poisson's noise"],
)
def test_calibration_that_may_be_chance_is_not_told(value, off, positives):
    found = report()
    found["cells"].append(row("home", metric="pcoc", value=value, off=off, positives=positives))
    words = read(render(found))
    assert "times too high" not in words
    assert "Predicted rates match observed ones within 10 %" in words


def test_many_wrong_calibrations_are_counted_not_listed():
    found = report(tuple(f"s{place}" for place in range(10)))
    found["cells"] += [row(f"s{place}", metric="pcoc", value=2.0 + place) for place in range(10)]
    words = read(render(found))
    assert "buy in s9 is predicted 11.00 times too high." in words
    assert "6 more cells off by more than 10 %" in words


def test_an_undefined_value_is_never_a_number_and_has_its_reason():
    found = report()
    found["cells"].append(row("feed", value=None, positives=0, note="no positives among 12 rows"))
    page = render(found)
    words = read(page)
    assert "AUC undefined: buy in feed. Reason: no positives among 12 rows." in words
    assert "nan" not in words.lower()
    assert "None" not in words


def test_cells_too_small_to_judge_are_named_and_do_not_count_as_best_or_worst():
    found = report()
    found["cells"].append(row("feed", value=0.99, n=300, positives=7))
    words = read(render(found))
    assert "Too small to judge (fewer than 50 rows of one class): buy in feed (7)." in words
    assert "best judged search" in words


def test_ranking_worse_than_chance_is_told():
    found = report()
    found["cells"].append(row("home", value=0.45))
    assert "buy in home is ranked worse than by chance (AUC 0.4500)." in read(render(found))


def test_one_scenario_and_one_task_make_a_page_without_totals():
    words = read(render(report(("kiosk",), targets=(("buy", "all"),))))
    assert "1 scenario " in words
    assert "All rows pooled" not in words
    assert "Mean of scenarios" not in words


def test_three_hundred_scenarios_stay_usable():
    found = report(tuple(f"scenario_{place:03d}_with_a_rather_long_name" for place in range(300)))
    page = render(found)
    words = read(page)
    assert "300 scenarios" in words
    assert "288 more scenarios" in words
    assert "295 smaller scenarios not drawn" in words
    assert 'class="scroll tall"' in page
    assert len(page.encode()) < 1_500_000


def test_without_events_there_is_no_training_section_and_without_curves_no_calibration():
    words = read(render({**report(), "reliability": []}))
    assert "training loss" not in words
    assert "Calibr. error" not in words


def test_a_page_of_nothing_says_so():
    assert "no row was scored" in read(render({"recipe": "mmoe", "split": "test", "cells": []}))
    assert "There is no report yet" in read(render_overview([]))


def test_the_page_of_a_measured_report_holds_its_numbers(world):
    found = Report.build(world(), recipe="true", split="test", run={"seconds": 1.0})
    words = read(render(found.to_dict()))
    for one in found.rows:
        if one.metric == "auc":
            assert f"{one.value:.4f}" in words
    assert "buy given click" in words or "given click" in words


def test_a_comparison_counts_and_names_gains_and_losses(world, noisy):
    rows = world(rows=6000)
    found = compare(noisy(rows, 3.0, only=0), rows, names=("noisy", "true"))
    words = read(render_comparison(found))
    assert "true against noisy" in words
    gained = found.cells("auc", "gained")
    assert gained
    assert f"{len(gained)} of {len(found.cells('auc'))} cells, AUC" in words
    for one in gained:
        assert one.cell in words
        assert f"{one.difference:+.4f}" in words
    assert found.caveat in words


def test_losses_are_called_negative_transfer(world, noisy):
    rows = world(rows=6000)
    found = compare(rows, noisy(rows, 3.0, only=1), names=("true", "noisy"))
    assert re.search(r"Lost: negative transfer [1-9]", read(render_comparison(found)))


def test_several_comparisons_share_one_page(world, noisy):
    rows = world(rows=1500)
    found = [compare(rows, noisy(rows, spread), names=("true", name)) for spread, name in ((1.0, "rough"), (3.0, EVIL))]
    page = render_comparison(found)
    words = read(page)
    assert "2 models" in words
    assert "rough, cell by cell" in words
    assert page.count("<script") == 1


def test_an_interval_without_zero_that_is_no_verdict_is_explained():
    one = {**row("*"), "baseline": 0.8, "other": 0.81, "difference": 0.01, "verdict": "cannot be told"}
    told = read(render_comparison({"baseline": "a", "other": "b", "differences": [one | {"low": 0.001, "high": 0.02}]}))
    assert "+0.0100 (+0.0010 to +0.0200), which chance may give when this many are looked at." in told
    told = read(render_comparison({"baseline": "a", "other": "b", "differences": [one | {"low": -0.1, "high": 0.2}]}))
    assert "which cannot be told from none" in told


def test_a_comparison_without_cells_says_so():
    assert "No cell." in read(render_comparison({"baseline": "a", "other": "b", "differences": []}))


def test_the_overview_ranks_recipes_by_their_mean_over_cells():
    found = [report(recipe="single"), report(recipe="mmoe", better=0.05), report(recipe="star", better=0.02)]
    words = read(render_overview(found, events={"mmoe": events()}))
    order = [words.index(name) for name in ("1 mmoe", "2 star", "3 single")]
    assert order == sorted(order)
    assert "mmoe has the highest mean AUC over cells: 0.7600, 0.0300 ahead of star." in words
    assert "mmoe: at a glance" in words
    assert "mmoe: training" in words


def test_seeds_of_one_recipe_become_one_line_with_their_spread():
    words = read(render_overview([report(), report(better=0.02), report(recipe="star", better=-0.1)]))
    assert "mmoe 2 seeds" in words
    assert "0.7400 ± 0.0141" in words


def test_the_score_uses_only_cells_that_every_recipe_has():
    lucky = report(recipe="lucky")
    lucky["cells"] = [one for one in lucky["cells"] if one["scenario"] != "home"]  # the hardest one
    words = read(render_overview([report(recipe="whole", better=0.001), lucky]))
    assert "whole has the highest mean AUC over cells" in words


def test_a_recipe_links_to_its_own_page_where_one_is_given():
    page = render_overview([report()], links={"mmoe": "mmoe/report.html"})
    assert '<a href="mmoe/report.html">mmoe</a>' in page


def test_many_scenarios_run_down_the_overview():
    names = tuple(f"s{place}" for place in range(30))
    page = render_overview([report(names), report(names, recipe="star")])
    read(page)
    assert 'class="heat dense" data-grid="" style="--columns:2"' in page
