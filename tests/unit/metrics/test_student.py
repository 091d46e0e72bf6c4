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
