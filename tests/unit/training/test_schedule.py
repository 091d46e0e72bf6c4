from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrec.training.schedule import factor


@pytest.mark.parametrize(
    ("decay", "expected"),
    [("none", 1.0), ("linear", 0.75), ("cosine", (1 + cos(pi / 4)) / 2)],
)
def test_a_quarter_of_the_way_after_warmup(decay, expected):
    assert factor(10 + 25, steps=110, warmup=10, decay=decay) == pytest.approx(expected)


def test_warmup_rises_in_equal_steps_to_1():
    assert [factor(step, steps=100, warmup=4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


@given(st.integers(0, 300), st.integers(1, 200), st.integers(0, 250), st.sampled_from(["none", "linear", "cosine"]))
def test_it_lies_between_0_and_1_and_past_the_plan_stays_where_it_ended(step, steps, warmup, decay):
    found = factor(step, steps=steps, warmup=warmup, decay=decay)
    assert 0.0 <= found <= 1.0
    if step > max(steps, warmup) and decay != "none":
        assert found == pytest.approx(0.0)
