"""What a stage does not train stays as it is, running moments included; and time adds up over attempts."""

import time

import pytest
import torch
from torch import nn

from polyrec.batch import Output
from polyrec.config import TrainingConfig
from polyrec.training import Interrupted, Stage


class Normed(nn.Module):
    """Running moments and dropout before the towers."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.drop = nn.Dropout(0.5)
        self.towers = nn.ModuleDict({name: nn.Linear(2, 1) for name in ("click", "buy")})

    def forward(self, batch):
        h = self.drop(self.norm(batch.ids.float()))
        return Output({name: tower(h)[:, 0] for name, tower in self.towers.items()})


@pytest.mark.parametrize(("trainable", "moves"), [(("towers.*",), False), (("*",), True)])
def test_running_moments_move_only_where_their_module_is_trained(setup, trainable, moves):
    one = setup(model=Normed())
    before = {name: value.clone() for name, value in one.model.named_buffers()}
    one.train(stage=Stage("only", TrainingConfig(epochs=1), trainable=trainable))
    changed = [name for name, value in one.model.named_buffers() if not torch.equal(value, before[name])]
    assert bool(changed) == moves


def test_a_frozen_part_without_moments_is_in_training_mode_still():
    model = Normed()
    stage = Stage("only", TrainingConfig(), trainable=("towers.*",))
    stage.freeze(model)
    stage.wake(model)
    assert not model.norm.training
    assert model.drop.training
    assert model.towers.training


def test_the_time_of_every_attempt_is_counted(setup, tmp_path):
    one, spent = setup(), []
    plain = one.loader.epoch

    def slow(number, start):
        for place in plain(number, start):
            time.sleep(0.02)
            yield place

    def stop():
        spent.append(1)
        raise_once(spent)
        return setup.evaluate(one)

    one.loader.epoch, one.evaluate = slow, stop
    with pytest.raises(Interrupted):
        one.train(folder=tmp_path, epochs=2, evaluations=1)
    first = time.monotonic()
    history = one.train(folder=tmp_path, epochs=2, evaluations=1, resume=True)
    second = time.monotonic() - first
    assert history.taken > second * 0.8 + 8 * 0.02


def test_time_is_counted_without_a_folder_too(setup):
    one = setup()
    started = time.monotonic()
    history = one.train(epochs=2, evaluations=1)
    assert 0 < history.seconds <= history.taken <= time.monotonic() - started


def raise_once(calls):
    import signal

    if len(calls) == 1:
        signal.raise_signal(signal.SIGINT)
