import pytest
import torch

from polyrec.errors import ConfigError
from polyrec.training.losses import Losses


def held(*values):
    losses = Losses()
    for one in values:
        losses.add({"click": torch.tensor(1.0), "buy": torch.tensor(one, requires_grad=True)})
    return losses


def test_means_are_told_once():
    losses = held(1.0, 2.0, 6.0)
    assert losses.means(step=3) == {"click": 1.0, "buy": 3.0}
    assert len(losses) == 0


def test_the_first_bad_step_is_named():
    with pytest.raises(ConfigError, match=r"term 'buy' is nan at step 12: it must be a finite number"):
        held(1.0, float("nan"), float("inf")).means(step=13)


@pytest.mark.parametrize(("value", "expected"), [(1.0, True), (float("nan"), False), (float("-inf"), False)])
def test_it_says_whether_all_are_numbers(value, expected):
    assert held(0.5, value).finite() is expected
