import json

from polyrec.evaluation.compare import compare
from polyrec.evaluation.comparison import LONE, Comparison, sentences
from polyrec.evaluation.difference import Difference


def one(scenario, difference, verdict, metric="auc", **options):
    low, high = (None, None) if difference is None else (difference - 0.01, difference + 0.01)
    before, after = (None, None) if difference is None else (0.7, 0.7 + difference)
    return Difference(scenario, "buy", "click", metric, before, after, difference, low, high,
                      verdict=verdict, n=10, positives=3, **options)  # fmt: skip


ROWS = (
    one("home", 0.02, "gained"),
    one("feed", 0.03, "gained"),
    one("search", -0.02, "lost"),
    one("mini", 0.001, "cannot be told"),
    one("new", None, "undefined", note="no positives"),
    one("macro", 0.008, "cannot be told"),
    one("*", 0.012, "gained"),
    one("home", -0.5, "gained", metric="log_loss"),
)
COMPARISON = Comparison("pooled", "star", ROWS, (1, 3), 50_000, 0.95)


def test_sentences_name_what_gained_lost_and_cannot_be_told():
    said = sentences(COMPARISON)
    assert said == (
        "star (3 runs) against pooled (1 run) on 50,000 rows: AUC of 5 cells.",
        "Gained in 2 of 5: buy given click in feed (+0.0300, +0.0200 to +0.0400), "
        "buy given click in home (+0.0200, +0.0100 to +0.0300).",
        "Lost (negative transfer) in 1 of 5: buy given click in search (-0.0200, -0.0300 to -0.0100).",
        "Cannot be told in 1 of 5: buy given click in mini (+0.0010, -0.0090 to +0.0110).",
        "Undefined in 1 of 5: buy given click in new (no positives).",
        "Buy given click in the mean of scenarios: +0.0080, -0.0020 to +0.0180, which cannot be told from none.",
        "Buy given click over all rows: +0.0120, +0.0020 to +0.0220, a gain.",
        COMPARISON.caveat,
    )


def test_long_lists_are_cut_and_counted():
    assert "and 1 more." in COMPARISON.sentences(most=1)[1]


def test_the_caveat_says_whether_seeds_are_in_the_intervals():
    single = Comparison("a", "b", (), (1, 1), 0, 0.95)
    assert single.caveat.endswith(f"(Holm). {LONE}")
    assert single.sentences()[1] == LONE  # before any verdict
    assert " ".join(single.sentences()).count("between seeds is unknown") == 1
    assert COMPARISON.caveat.endswith("The spread between runs is in them.")
    assert "unknown" not in " ".join(COMPARISON.sentences())


def test_the_table_has_a_line_a_cell_with_its_verdict():
    lines = COMPARISON.table().splitlines()
    assert len(lines) == 2 + 7
    assert lines[2].split() == ["buy", "given", "click", "in", "home", "0.7000", "0.7200", "+0.0200",
                                "+0.0100", "to", "+0.0300", "gained"]  # fmt: skip
    assert lines[6].endswith("undefined (no positives)")


def test_cells_leave_out_the_pooled_and_the_mean():
    assert [found.scenario for found in COMPARISON.cells()] == ["home", "feed", "search", "mini", "new"]
    assert [found.scenario for found in COMPARISON.cells("auc", "lost")] == ["search"]


def test_plain_values_are_json(world, noisy):
    rows = world(500)
    found = compare(rows, noisy(rows, 0.5), names=("a", "b"))
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["baseline"] == "a"
    assert len(values["differences"]) == 2 * 3 * 5
    assert values["differences"][0]["verdict"] in ("gained", "lost", "cannot be told")
