import math

from polyrec.metrics import Estimate


def test_what_is_not_finite_becomes_undefined_with_a_note():
    assert Estimate.of(math.nan) == Estimate(None, note="the value is not finite")
    assert Estimate.of(math.inf, note="3 rows").note == "3 rows; the value is not finite"


def test_half_an_interval_is_none():
    assert Estimate.of(0.5, 0.1, math.nan) == Estimate(0.5)


def test_notes_add_up():
    assert Estimate.of(0.5).noted("").note is None
    assert Estimate.of(0.5).noted("a", "", "b").noted("c").note == "a; b; c"
