import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrec.evaluation.figures.scale import Scale, tick_words, widened

values = st.floats(-1e6, 1e6, allow_nan=False)
positives = st.floats(1e-9, 1e9)


@given(low=values, width=st.floats(1e-3, 1e6), share=st.floats(0, 1))
def test_a_linear_scale_keeps_shares_of_the_range(low, width, share):
    scale = Scale(low, low + width, 10.0, 110.0)
    assert scale(low + share * width) == pytest.approx(10 + 100 * share, abs=1e-3)


@given(low=positives, factor=st.floats(1.1, 1e6), other=st.floats(1.0, 1e3))
def test_on_a_log_scale_equal_ratios_are_equal_distances(low, factor, other):
    scale = Scale(low, low * factor * other, 0.0, 100.0, log=True)
    first = scale(low * factor) - scale(low)
    last = scale(low * factor * other) - scale(low * other)
    assert first == pytest.approx(last, abs=1e-6)


def test_a_value_outside_is_drawn_at_the_edge():
    scale = Scale(0.0, 1.0, 0.0, 50.0)
    assert (scale(-3.0), scale(7.0)) == (0.0, 50.0)


def test_a_range_of_no_width_has_its_value_in_the_middle():
    assert Scale(2.0, 2.0, 0.0, 50.0)(2.0) == 25.0


@given(low=values, width=st.floats(1e-3, 1e6), count=st.integers(2, 8))
def test_linear_ticks_lie_inside_and_are_about_as_many_as_asked(low, width, count):
    scale = Scale(low, low + width, 0.0, 1.0)
    ticks = scale.ticks(count)
    slack = 1e-6 * (abs(low) + width)
    assert all(low - slack <= tick <= low + width + slack for tick in ticks)
    assert 1 <= len(ticks) <= 1.3 * count + 2


@given(low=positives, factor=st.floats(2.0, 1e9))
def test_log_ticks_lie_inside_and_never_run_out(low, factor):
    ticks = Scale(low, low * factor, 0.0, 1.0, log=True).ticks()
    assert ticks
    assert ticks == sorted(ticks)
    assert all(low * (1 - 1e-6) <= tick <= low * factor * (1 + 1e-6) for tick in ticks)


@given(st.lists(values, min_size=1, max_size=9), st.floats(0, 10))
def test_a_widened_range_holds_its_values_and_is_not_narrower_than_asked(found, least):
    low, high = widened(found, least=least)
    assert low < min(found)
    assert high > max(found)
    assert high - low >= least * (1 - 1e-9)


def test_nothing_to_show_still_gives_an_axis():
    assert widened([]) == (0.0, 1.0)


def test_ticks_of_one_axis_have_equally_many_decimals():
    assert tick_words([0.8, 0.85, 0.9]) == ["0.80", "0.85", "0.90"]
    assert tick_words([-0.002, 0.0, 0.002]) == ["−0.002", "0", "0.002"]
