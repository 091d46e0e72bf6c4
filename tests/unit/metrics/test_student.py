import pytest
from scipy import stats

from polyrec.metrics import student


@pytest.mark.parametrize("df", [1, 2, 3, 7, 30, 200.5, 1999])
@pytest.mark.parametrize("t", [0.0, 0.01, 0.7, 2.0, 5.0, 40.0])
def test_tails_agree_with_scipy(t, df):
    assert student.two_sided(t, df) == pytest.approx(2 * stats.t.sf(t, df), rel=1e-9)
    assert student.two_sided(-t, df) == student.two_sided(t, df)


@pytest.mark.parametrize("df", [1, 2, 5, 50, 1999])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_quantiles_agree_with_scipy(level, df):
    assert student.quantile(level, df) == pytest.approx(stats.t.ppf((1 + level) / 2, df), rel=1e-9)


def test_many_degrees_of_freedom_are_the_normal_distribution():
    assert student.quantile(0.95, 10**9) == pytest.approx(1.959964, abs=1e-6)
    assert student.two_sided(float("inf"), 3) == 0.0


def test_half_an_interval_from_two_estimates_lies_between_those_with_either_quantile():
    pieces = [(0.3, 2), (0.7, 500)]
    few, many = student.quantile(0.95, 2), student.quantile(0.95, 500)
    assert many < student.half_width(pieces, 0.95) < few
    assert student.half_width(pieces, 0.95) == pytest.approx((0.3 * few**2 + 0.7 * many**2) ** 0.5)


@pytest.mark.parametrize("pieces", [[(1.0, 7)], [(0.3, 2), (0.7, 500)], [(0.0, 1), (2.0, 4)]])
@pytest.mark.parametrize("level", [0.3, 0.95, 0.9999])
def test_the_doubt_of_an_intervals_end_is_what_the_interval_leaves_out(pieces, level):
    assert student.doubt(student.half_width(pieces, level), pieces) == pytest.approx(1 - level, rel=1e-6)


def test_without_variance_only_no_difference_is_in_doubt():
    assert student.doubt(0.0, [(0.0, 1)]) == 1.0
    assert student.doubt(0.1, [(0.0, 1)]) == 0.0
    assert student.doubt(0.0, [(1.0, 5)]) == 1.0
