import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from polyrec.bench import page
from polyrec.bench.board import PLACES, Board, board
from polyrec.bench.leaderboard import write
from polyrec.bench.results import Results
from polyrec.bench.suite import read
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.compare import compare
from polyrec.evaluation.report import Report
from polyrec.schema import Target

CLICK = Target("click")
# What is added to a logit as noise: the baseline, one as good, one that is worse.
NOISE = {"pooled": 0.5, "mmoe": 0.5, "star": 3.0}
SUITE = read(
    {"name": "tested", "recipes": list(NOISE), "seeds": [0, 1, 2], "data": [{"name": "a", "simulate": {}}]}, "suite"
)


def rows(seed, noise):
    random = np.random.default_rng(5)
    count = 1500
    taste = random.normal(0, 1.5, count)
    label = random.random(count) < 1 / (1 + np.exp(-taste))
    logit = taste + np.random.default_rng(seed).normal(0, noise, count)
    return Collected(
        targets=(CLICK,),
        scenarios=("home", "feed"),
        scenario=random.integers(0, 2, count).astype(np.int32),
        user=random.integers(0, 300, count),
        logits={CLICK: logit.astype(np.float32)},
        labels={CLICK: label},
        inside={CLICK: np.ones(count, bool)},
    )


def finish(out, name, seed, noise, data="a", **more):
    """A finished cell, as a run leaves it."""
    cell = f"{data}/{name}/seed-{seed}"
    collected = rows(list(NOISE).index(name) * 10 + seed, noise)
    (out / "runs" / cell).mkdir(parents=True)
    collected.save(out / "runs" / cell / "test.parquet")
    report = Report.build(collected, recipe=name, split="test").to_dict()
    costs = {
        "parameters": 1234,
        "cpu_seconds": 2.0,
        "rows_per_second": 1000,
        "settings": {},
        "versions": {"torch": "2"},
    }
    line = {"cell": cell, "status": "done", "run": "x", "score": 0.5, "metrics": report["cells"], **costs, **more}
    Results(out / "results.jsonl").add(line)
    return collected


@pytest.fixture
def made(tmp_path):
    runs = {name: [finish(tmp_path, name, seed, noise) for seed in range(3)] for name, noise in NOISE.items()}
    return tmp_path, runs


def test_the_table_has_means_over_seeds_and_the_baseline_first(made):
    out, runs = made
    (table,) = board(SUITE, out).tables
    assert table.entries[0].contender.name == "pooled"
    for entry in table.entries:
        expected = [Report.build(one, recipe="", split="").get("*", CLICK).value for one in runs[entry.contender.name]]
        assert entry.mean(CLICK, "*") == pytest.approx(np.mean(expected))
    assert table.targets == (CLICK,)


def test_p_values_are_corrected_for_every_difference_of_the_table(made):
    out, runs = made
    (table,) = board(SUITE, out).tables
    raw = {}
    for name in ("mmoe", "star"):
        found = compare(runs["pooled"], runs[name])
        raw |= {(name, place): found.get(place, CLICK).p for place in PLACES}
    assert table.looks == len(raw) == 4
    order, floor = sorted(raw, key=raw.__getitem__), 0.0
    for place, key in enumerate(order):  # Holm (1979), by hand
        floor = max(floor, min(1.0, (4 - place) * raw[key]))
        entry = next(one for one in table.entries if one.contender.name == key[0])
        assert entry.difference(CLICK, key[1]).adjusted == pytest.approx(floor)
        assert entry.difference(CLICK, key[1]).verdict == ("lost" if floor <= 0.05 else "cannot be told")
    assert {one.verdict for one in table.entries[-1].differences} == {"lost"}


def test_ranks_are_those_of_scipy_over_data_sets_and_targets(tmp_path):
    two = replace(SUITE, data=(SUITE.data[0], replace(SUITE.data[0], name="b")))
    for place, data in enumerate("ab"):
        for name, noise in NOISE.items():
            for seed in range(3):
                finish(tmp_path, name, seed, noise * (1 + place), data)
    found = board(two, tmp_path)
    ranks = []
    for table in found.tables:
        names = sorted(one.contender.name for one in table.entries)
        means = {one.contender.name: one.mean(CLICK, "macro") for one in table.entries}
        ranks.append(dict(zip(names, rankdata([-means[name] for name in names]), strict=True)))
    for name, (rank, count) in found.ranks.items():
        assert count == 2
        assert rank == pytest.approx(np.mean([one[name] for one in ranks]))


def test_what_did_not_run_is_told_and_takes_no_part_in_the_ranks(tmp_path):
    for name in ("pooled", "mmoe"):
        for seed in range(3):
            finish(tmp_path, name, seed, 0.5)
    failed = {"cell": "a/star/seed-0", "status": "failed", "error": "no rows\nmore", "settings": {}, "versions": {}}
    Results(tmp_path / "results.jsonl").add(failed)
    found = board(SUITE, tmp_path)
    text = page.markdown(found)
    assert set(found.ranks) == {"pooled", "mmoe"}
    assert "`star` (seed 0 failed: no rows)" in text
    assert "more" not in text.partition("What did not run")[2]


def test_an_unfinished_contender_shows_its_seeds_and_is_not_read_from(tmp_path):
    for seed in range(3):
        finish(tmp_path, "pooled", seed, 0.5)
    finish(tmp_path, "star", 0, 3.0)
    text = page.markdown(board(SUITE, tmp_path))
    assert "`star` (1 of 3 seeds)" in text
    assert "Nothing can be compared yet." in text


def test_tests_on_other_rows_are_not_compared(tmp_path):
    for seed in range(3):
        finish(tmp_path, "pooled", seed, 0.5)
        finish(tmp_path, "star", seed, 0.5)
        path = tmp_path / "runs" / f"a/star/seed-{seed}" / "test.parquet"
        whole = Collected.load(path)
        replace(whole, user=whole.user + 1).save(path)
    text = page.markdown(board(SUITE, tmp_path))
    assert "not comparable" in text
    assert "different rows" in text


def test_both_pages_hold_every_number_and_the_reading(made):
    out, _ = made
    found: Board = board(SUITE, out)
    written = write(SUITE, out)
    markdown, html = (
        one.read_text(encoding="utf-8").replace("\u00a0", " ") for one in (written.markdown, written.html)
    )
    shown = page.spread(found.tables[0].entries[0].values(CLICK, "*"))
    for text in (markdown, html):
        assert shown in text
        assert "polyrec fit cells/a/mmoe/seed-0.toml --out runs/a/mmoe/seed-0 --resume" in text
        assert "by more than chance" in text
    assert "http" not in html
    assert re.findall(r"\*\*(.+?)\*\*", markdown) == re.findall(r"<b>(.+?)</b>", html)  # what is significant
    assert len(re.findall(r"<b>", html)) == 3, "the word in the protocol, and star's two losses"
    assert "None of 2 finished recipes is above `pooled`" in markdown
    assert "Below `pooled` by more than chance: `star`" in markdown


def test_the_page_says_what_the_data_are_like_as_far_as_it_is_known(made):
    out, runs = made
    rows = runs["pooled"][0]
    sizes = np.bincount(rows.scenario)
    known = (
        f"2 scenarios with {min(sizes):,} to {max(sizes):,} test rows; "
        f"positive test rows: click {100 * rows.labels[CLICK].mean():.3g} %."
    )
    assert f"- Data: {known}\n" in page.markdown(board(SUITE, out))  # a run that has left no data.json
    about = {"schema": "x", "rows of train": 12_000, "rows of test": 1_500}
    (out / "runs" / "a" / "pooled" / "seed-0" / "data.json").write_text(json.dumps(about), encoding="utf-8")
    whole = f"Data: 12,000 rows of training, 1,500 rows of test; {known}"
    assert f"- {whole}\n" in page.markdown(board(SUITE, out))
    assert whole in page.html(board(SUITE, out))


def test_lines_without_counts_give_a_page_without_them(made):
    out, _ = made
    results = Results(out / "results.jsonl")
    for line in list(results):
        for one in line["metrics"]:
            del one["n"], one["positives"]
        results.add(line)
    assert "Data:" not in page.markdown(board(SUITE, out))


def test_the_mean_cost_is_over_the_seeds_of_which_it_is_known(tmp_path):
    for seed, spent in enumerate((2.0, None, 4.0)):
        finish(tmp_path, "pooled", seed, 0.5, cpu_seconds=spent)
        finish(tmp_path, "mmoe", seed, 0.5, cpu_seconds=None)
    found = board(SUITE, tmp_path)
    assert [one.cost("cpu_seconds") for one in found.tables[0].entries[:2]] == [3.0, None]
    text = page.markdown(found)
    assert "| `pooled` | 1,234 | 3 | 1,000 |" in text
    assert "| `mmoe` | 1,234 | - | 1,000 |" in text


def test_nothing_finished_gives_a_page_that_says_so(tmp_path):
    text = page.markdown(board(SUITE, tmp_path))
    assert "a: `pooled`, `mmoe`, `star`." in text


def test_the_page_tells_how_wide_its_intervals_are(made):
    out, _ = made
    found = board(SUITE, out)
    known = [each for one in found.tables[0].entries for each in one.differences]
    half = np.median([(one.high - one.low) / 2 for one in known])
    assert f"Half of the intervals reach {half:.3f} or more to either side" in page.markdown(found)


def test_no_line_of_the_page_ends_within_an_interval(made):
    out, _ = made
    found = board(SUITE, out)
    cells = re.findall(r"<td>(?:<b>)?([^<]*)", page.html(found))
    assert sum(" ± " in one.replace("\u00a0", " ") for one in cells) == 6
    assert not any(" ± " in one or " to " in one for one in cells)
