"""Averaged weights: their formula by hand, and that they are what is validated, kept and resumed."""

import signal

import pytest
import torch
from torch import nn

from polyrec.training import Interrupted
from polyrec.training.average import EVERY, Average


def moved(horizon, values):
    layer = nn.Linear(1, 1, bias=False)
    average = Average({"model": layer}, horizon)
    for step, value in enumerate(values, start=1):
        layer.weight.data.fill_(value)
        average.move(step)
    return average, layer


def test_up_to_the_horizon_it_is_the_plain_mean_of_every_eighth_step():
    average, _ = moved(100 * EVERY, [float(step) for step in range(1, 4 * EVERY + 1)])
    assert average.weights["model/weight"].item() == pytest.approx((8 + 16 + 24 + 32) / 4)


def test_past_the_horizon_old_steps_fade():
    average, _ = moved(2 * EVERY, [0.0] * 2 * EVERY + [1.0] * 2 * EVERY)
    assert average.weights["model/weight"].item() == pytest.approx(1 - 0.5**2)  # a half, twice


def test_without_a_horizon_nothing_is_kept_or_shown():
    average, layer = moved(0, [1.0] * EVERY)
    with average.shown():
        assert layer.weight.item() == 1.0
    assert average.weights == {}


def test_the_own_weights_come_back_after_an_error():
    average, layer = moved(16, [1.0] * EVERY + [3.0] * EVERY)
    with pytest.raises(ZeroDivisionError), average.shown():
        _ = layer.weight.item() / (layer.weight.item() - 2.0)  # 2, the average, is what is shown
    assert layer.weight.item() == 3.0


def test_the_validated_and_kept_weights_are_the_average_and_training_goes_on_from_its_own(setup):
    plain = setup()
    plain.train(epochs=2, evaluations=1)
    torch.manual_seed(0)
    one = setup(scores=[0.1, 0.9])
    one.train(epochs=2, evaluations=1, average=16)
    kept = dict(one.model.state_dict())
    # 8 steps an epoch: the average took in steps 8 and 16, whose weights are those of the plain run.
    for name, value in kept.items():
        expected = (plain.at[0][name] + plain.at[1][name]) / 2
        assert torch.allclose(value, expected, atol=1e-7), name
    assert not torch.equal(kept["shared.weight"], plain.at[1]["shared.weight"])


def test_a_resumed_run_has_the_same_average(setup, tmp_path):
    whole = setup()
    whole.train(epochs=4, average=12)
    torch.manual_seed(0)
    first, seen = setup(), []
    plain = first.loader.epoch

    def epoch(number, start):
        for after, batch in plain(number, start):
            seen.append(1)
            if len(seen) == 8 + 13:  # the first pass looks at base rates
                signal.raise_signal(signal.SIGINT)
            yield after, batch

    first.loader.epoch = epoch
    with pytest.raises(Interrupted):
        first.train(epochs=4, average=12, folder=tmp_path)
    second = setup()
    second.train(epochs=4, average=12, folder=tmp_path, resume=True)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_a_tensor_under_two_names_gets_its_own_weights_back():
    layer = nn.Linear(1, 1, bias=False)
    average = Average({"model": nn.ModuleDict({"one": layer, "two": layer})}, 16)
    for step, value in ((EVERY, 1.0), (2 * EVERY, 3.0)):
        layer.weight.data.fill_(value)
        average.move(step)
    with average.shown():
        assert layer.weight.item() == 2.0
    assert layer.weight.item() == 3.0
