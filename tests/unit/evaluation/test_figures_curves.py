import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrec.evaluation.figures import curves, differences, funnel
from polyrec.evaluation.figures.cells import Cells
from polyrec.evaluation.figures.reliability import Bin, joined, read_curves, reliability
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


# reliability

bins = st.lists(
    st.tuples(st.integers(1, 500), st.floats(0, 1), st.floats(0, 1)).map(
        lambda one: Bin(one[1], round(one[2] * one[0]) / one[0], one[0])
    ),
    min_size=1,
    max_size=30,
)


@given(bins)
def test_joining_bins_keeps_rows_positives_and_predictions(found):
    found = sorted(found, key=lambda one: one.predicted)
    together = joined(found)
    for part in ("observed", "predicted"):
        sums = [sum(getattr(one, part) * one.n for one in each) for each in (found, together)]
        assert sums[0] == pytest.approx(sums[1])
    assert sum(one.n for one in together) == sum(one.n for one in found)
    assert len(together) == 1 or all(8 - 1e-6 <= one.observed * one.n <= one.n - 8 + 1e-6 for one in together)


def test_wilsons_interval_holds_its_known_values():
    low, high = Bin(0.1, 0.1, 100).spread  # by hand: (0.1 + 0.0192 -+ 1.96 sqrt(.0009 + .000096)) / 1.0384
    assert (low, high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))
    assert Bin(0.1, 0.0, 50).spread[0] == 0.0


def curve(scenario, rate, target=BUY):
    found = [{"predicted": rate * step, "observed": rate * step * 1.2, "n": 100_000} for step in (0.25, 0.5, 1.0, 2.0)]
    return {"scenario": scenario, "task": target.task, "space": target.space, "bins": found}


def test_tiny_rates_are_drawn_on_logarithmic_axes_and_large_ones_on_linear():
    for rate, ticks in ((0.01, {"1%"}), (0.4, {"20%", "40%", "60%"})):
        picture = reliability(BUY, read_curves([curve("*", rate)])[BUY])
        assert ticks <= set(texts(picture))


def test_every_bin_says_what_was_predicted_and_what_happened():
    picture = reliability(BUY, read_curves([curve("*", 0.01), curve("home", 0.01)])[BUY])
    assert "all rows pooled: predicted 1.00 %, observed 1.20 %, 100,000 rows" in hints(picture)
    assert "home: predicted 1.00 %, observed 1.20 %, 100,000 rows" in hints(picture)


def test_empty_and_undefined_bins_are_left_out():
    bad = {"bins": [{"predicted": None, "observed": 0.1, "n": 5}, {"predicted": 0.1, "observed": 0.1, "n": 0}]}
    assert read_curves([{**curve("home", 0.1), **bad}]) == {}


# training curves


def events(steps=300):
    return [
        {"kind": "step", "epoch": step // 100, "step": step, "losses": {"buy": 1 / (1 + step), "again": 0.5}}
        for step in range(steps)
    ] + [{"kind": "evaluation", "step": step, "score": score} for step, score in ((100, 0.7), (200, 0.8), (299, 0.75))]


def test_events_become_series_by_term_with_epochs_and_scores():
    past = curves.history([*events(), {"kind": "note"}, {"kind": "step"}, {"kind": "step", "step": 3, "losses": None}])
    assert [one.name for one in past.losses] == ["buy", "again"]
    assert past.epochs == (100.0, 200.0)
    assert past.scores.points == ((100.0, 0.7), (200.0, 0.8), (299.0, 0.75))


def test_the_best_evaluation_is_marked():
    past = curves.history(events())
    picture = curves.score_curve(past.scores, past.epochs)
    assert "best: score 0.8000 at step 200" in hints(picture)
    assert "best 0.8000" in texts(picture)


def test_the_best_log_loss_is_the_lowest():
    steps = [{"kind": "evaluation", "step": step, "score": 0.1 * step, "metric": "log_loss"} for step in (2, 1, 3)]
    assert "best 0.1000" in texts(curves.score_curve(curves.history(steps).scores))


def test_stages_follow_one_another_on_one_axis():
    steps = [
        {
            "kind": "step",
            "stage": stage,
            "epoch": 0,
            "step": step,
            "total_step": 10 * place + step,
            "losses": {"buy": 1.0},
        }
        for place, stage in enumerate(("one", "two"))
        for step in range(10)
    ]
    past = curves.history(steps)
    assert past.losses[0].points[-1] == (19.0, 1.0)
    assert past.epochs == (10.0,)


@pytest.mark.parametrize("steps", [1, 2, 50, 1000])
def test_a_loss_of_any_length_is_drawn_with_bounded_size(steps):
    past = curves.history(events(steps))
    for one in past.losses:
        picture = curves.loss_curve(one, past.epochs)
        ET.fromstring(picture)
        assert len(picture) < 8_000


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=400), st.integers(1, 60))
def test_smoothing_keeps_the_mean_and_the_range(values, most):
    trend = curves.smoothed(list(enumerate(values)), most)
    assert len(trend) <= most
    assert min(low for *_, low, _ in trend) == min(values)
    assert max(high for *_, high in trend) == max(values)
    assert all(low - 1e-9 <= mean <= high + 1e-9 for _, mean, low, high in trend)


def test_weights_of_the_balancer_are_named_at_the_end_of_their_lines():
    steps = [{"kind": "step", "step": step, "weights": {"buy": 1.5, "again": 0.5}} for step in (1, 2)]
    picture = curves.weight_curves(curves.history(steps).weights)
    assert {"buy", "again"} <= set(texts(picture))


# funnel


def test_the_funnel_counts_each_step_and_its_rate_from_its_parent():
    rows = [row("home", BUY, n=1000, positives=100), row("home", AGAIN, n=100, positives=25)]
    (flow,) = funnel.flows(Cells.of(rows))
    assert (flow.rows, flow.steps) == (1000, {"buy": (100, None), "again": (25, "buy")})
    assert (flow.share("buy"), flow.share("again")) == (0.1, 0.25)


def test_all_scenarios_together_come_first_and_add_up():
    rows = [row(name, BUY, n=n, positives=n // 10) for name, n in (("a", 1000), ("b", 5000))]
    found = funnel.flows(Cells.of([*rows, row("*", BUY, n=9, positives=9)]))
    assert [(one.name, one.rows, one.steps["buy"][0]) for one in found] == [
        ("All scenarios", 6000, 600), ("b", 5000, 500), ("a", 1000, 100),
    ]  # fmt: skip


def test_equal_rates_are_equal_distances_in_the_funnel():
    rows = [row(name, BUY, n=n, positives=n // 10) for name, n in (("a", 1000), ("b", 50_000))]
    shown = funnel.funnel(funnel.flows(Cells.of(rows)))
    lines = [one for one in ET.fromstring(shown).iter("line") if "flow" in one.get("class")]
    lengths = [float(one.get("x2")[:-1]) - float(one.get("x1")[:-1]) for one in lines]
    assert lengths == pytest.approx([lengths[0]] * 3, abs=0.02)


def test_a_step_that_never_happened_is_text_without_a_dot():
    shown = funnel.funnel(funnel.flows(Cells.of([row("home", BUY, n=1000, positives=0)])))
    assert "<b>0</b>" in shown
    assert "flow c0" not in shown


def test_more_scenarios_than_fit_are_folded_away_but_there():
    found = funnel.flows(Cells.of([row(f"s{place:02d}", BUY, n=100 + place) for place in range(30)]))
    shown = funnel.funnel(found)
    assert "18 more scenarios" in shown
    assert shown.count('<svg class="track" width="100%" height="30"') == 31


# differences


def change(scenario, difference, verdict, metric="auc", note=None):
    low, high = (None, None) if difference is None else (difference - 0.001, difference + 0.001)
    return {
        "scenario": scenario, "task": "buy", "space": "all", "metric": metric, "baseline": 0.8,
        "other": None if difference is None else 0.8 + difference, "difference": difference, "low": low, "high": high,
        "verdict": verdict, "n": 1000, "positives": 100, "note": note,
    }  # fmt: skip


def test_differences_run_from_gain_to_loss_in_the_colour_of_their_verdict():
    rows = [change("bad", -0.01, "lost"), change("good", 0.02, "gained"), change("so", 0.001, "cannot be told")]
    picture = differences.change_dots(differences.read_changes(rows), BUY, "auc")
    found = {one.find("title").text.split(":")[0]: one.get("class") for one in ET.fromstring(picture).iter("circle")}
    assert found == {"buy in good": "dot c0", "buy in so": "dot neutral", "buy in bad": "dot c1"}
    assert "−0.0100" in texts(picture)


def test_a_lower_loss_is_a_gain():
    (one,) = differences.read_changes([change("home", -0.01, "gained", "log_loss")])
    assert one.gain == pytest.approx(0.01)
    assert 'class="d0"' in differences.change_table([one], "log_loss")


def test_a_difference_that_cannot_be_told_is_pale_and_an_undefined_one_hatched():
    rows = [change("so", 0.001, "cannot be told"), change("new", None, "undefined", note="no positives")]
    table = differences.change_table(differences.read_changes(rows), "auc")
    assert 'class="pale"' in table
    assert '<td class="hatch" title="buy in new: no positives"><b>–</b><small>no positives</small>' in table
