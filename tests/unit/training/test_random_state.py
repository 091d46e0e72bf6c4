"""The states that randomness is drawn from, of every process: what a resumed run goes on with."""

import pytest
import torch

from polyrec.distributed import World
from polyrec.training.state import _random, _set_random


class Second(World):
    """The second of two processes, of which the first has other states."""

    rank, size = 1, 2

    def gather(self, rows, counts=None):
        return [torch.zeros_like(rows), rows]


@pytest.fixture
def drawing():
    """Leaves the state as it was."""
    before = torch.get_rng_state()
    yield
    torch.set_rng_state(before)


@pytest.fixture
def gpu(monkeypatch):
    """A machine with one GPU, as far as its random state goes."""
    held = {"state": torch.full((16,), 7, dtype=torch.uint8)}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [held["state"]])
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda *_: held["state"])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, *_: held.update(state=state))
    return held


@pytest.mark.usefixtures("drawing")
def test_another_process_goes_on_with_its_own_draws():
    torch.manual_seed(11)
    kept = _random(Second())
    expected = torch.rand(3)
    torch.manual_seed(12)
    _set_random(kept, Second())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.usefixtures("drawing")
def test_beside_a_gpu_the_cpu_is_kept_too(gpu):
    torch.manual_seed(11)
    kept, mine = _random(Second()), gpu["state"]
    expected = torch.rand(3)
    torch.manual_seed(12)
    gpu["state"] = torch.zeros(16, dtype=torch.uint8)
    _set_random(kept, Second())
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(gpu["state"], mine)


@pytest.mark.usefixtures("drawing")
def test_a_process_that_was_not_there_keeps_what_its_seed_gave(gpu):
    kept = {name: one for name, one in _random(Second()).items() if not name.startswith("process")}
    torch.manual_seed(12)
    before = torch.get_rng_state()
    _set_random(kept, Second())
    assert torch.equal(torch.get_rng_state(), before)
    assert gpu["state"].unique().tolist() == [7]
