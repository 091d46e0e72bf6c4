"""A run that is killed again and again ends with the weights, bit by bit, of one that never was."""

import random
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch import nn

from polyrec import objectives
from polyrec.batch import Batch, Field, Layout, Output
from polyrec.config import TrainingConfig
from polyrec.data.loader import Position
from polyrec.nn.table import Table
from polyrec.schema import Task
from polyrec.training import Evaluation, Stage, checkpoint, train
from polyrec.training.events import read

LAYOUT = Layout(
    scenarios=("home", "feed"),
    tasks=(Task("click", "c"), Task("buy", "b", after="click")),
    categorical=(Field("user", 50), Field("item", 50)),
)


class Memory:
    """Two windows of ten batches an epoch, drawn from (epoch, window)."""

    rows, steps = 20 * 32, 20

    def __init__(self, pause=0.0, begun=None):
        self.pause = pause
        self.begun = begun

    def epoch(self, number, start):
        for window in range(start.window, 2):
            generator = torch.Generator().manual_seed(number * 2 + window)
            batches = [random_batch(generator) for _ in range(10)]
            for place in range(start.batch if window == start.window else 0, 10):
                time.sleep(self.pause)
                if self.begun is not None:
                    self.begun()
                    self.begun = None
                yield (Position(window, place + 1) if place < 9 else Position(window + 1)), batches[place]


class Tiny(nn.Module):
    """A sparse table, dropout, a shared layer and a tower a head: each kind of state there is."""

    def __init__(self):
        super().__init__()
        self.table = Table(100, 4)
        self.shared = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.3))
        self.towers = nn.ModuleDict({name: nn.Linear(8, 1) for name in ("click", "buy")})

    def forward(self, batch):
        h = self.shared(self.table(batch.ids + torch.tensor([0, 50])).flatten(1))
        return Output({name: tower(h)[:, 0] for name, tower in self.towers.items()})


def random_batch(generator):
    ids = torch.randint(0, 50, (32, 2), generator=generator)
    click = (torch.rand(32, generator=generator) < 0.3 + 0.01 * ids[:, 0]).float()
    buy = click * (torch.rand(32, generator=generator) < 0.01 * ids[:, 1]).float()
    return Batch(
        LAYOUT,
        ids,
        torch.zeros(32, 0),
        torch.zeros(32, dtype=torch.long),
        torch.stack([click, buy], 1),
        torch.ones(32, 2, dtype=torch.bool),
        torch.ones(32),
        torch.zeros(32, dtype=torch.long),
    )


def work(folder, balancer, pause=0.0, begun=None):
    """One attempt: begins, or goes on from where the one before was killed."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Tiny()
    objective = objectives.build("pointwise", LAYOUT)
    held_out = random_batch(torch.Generator().manual_seed(99))

    def evaluate():
        terms = objective(model(held_out), held_out)
        return Evaluation(-float(sum(terms.values())), {"home/click": float(terms["click"])})

    config = TrainingConfig(
        epochs=3, evaluations=3, patience=50, checkpoint_steps=3, mask_ids=0.1, lr=0.01, warmup=5, lr_decay="cosine"
    )
    train(
        Stage("only", config),
        model,
        objective,
        objectives.balance.build(balancer, objective.terms),
        Memory(pause, begun),
        evaluate,
        folder=folder,
        resume=True,
    )
    return model


def digest(model):
    found = sha256()
    for name, one in sorted(model.state_dict().items()):
        found.update(name.encode() + one.numpy().tobytes())
    return found.hexdigest()


def told(folder):
    """The events without what a clock says."""
    return [
        {key: value for key, value in line.items() if key not in ("time", "rows_per_second")}
        for line in read(folder / "events.jsonl")
    ]


def attempt(*arguments):
    return subprocess.Popen([sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "balancer", ["gradnorm", *(pytest.param(one, marks=pytest.mark.long) for one in ("uncertainty", "famo"))]
)
def test_a_run_killed_at_random_moments_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, balancer):
    expected = digest(work(tmp_path / "whole", balancer))
    seed = time.time_ns()
    chance = random.Random(seed)
    for _ in range(5):
        process = attempt("train", tmp_path / "killed", balancer, 0.01)
        assert process.stdout.readline() == "begun\n"
        time.sleep(chance.uniform(0.0, 0.4))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    saved = tmp_path / "killed" / "checkpoints" / "only.safetensors"
    reached = checkpoint.load(saved).values["place"]["step"] if saved.exists() else 0
    assert reached < 60, f"the last attempt was to be killed before its end (seed {seed})"
    process = attempt("train", tmp_path / "killed", balancer, 0.0)
    assert process.communicate()[0].splitlines()[-1] == expected, f"seed {seed}, last checkpoint at step {reached}"
    assert told(tmp_path / "killed") == told(tmp_path / "whole")


@pytest.mark.slow
def test_a_checkpoint_killed_while_it_is_written_leaves_a_whole_one(tmp_path):
    path = tmp_path / "a.safetensors"
    chance = random.Random(time.time_ns())
    before = 0
    for _ in range(4):
        process = attempt("save", path)
        assert process.stdout.readline() == "begun\n"
        time.sleep(chance.uniform(0.2, 0.5))
        process.kill()
        process.communicate()
        found = checkpoint.load(path)
        number = found.values["number"]
        assert number > before
        assert torch.equal(found.tensors["a"], torch.full((1_000_000,), float(number)))
        before = number
    checkpoint.save(path, found)
    assert [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.slow
def test_ctrl_c_keeps_the_place_and_says_how_to_go_on(tmp_path):
    expected = digest(work(tmp_path / "whole", "fixed"))
    process = attempt("train", tmp_path / "stopped", "fixed", 0.02)
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    last = process.communicate()[0].splitlines()[-1]
    assert last.startswith("stopped at step ")
    assert last.endswith("Run again with --resume to go on.")
    assert process.returncode == 130
    assert digest(work(tmp_path / "stopped", "fixed")) == expected


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def save_for_ever(path):
    found = checkpoint.load(path)
    number = found.values["number"] if found is not None else 0
    say("begun")
    while True:
        number += 1
        tensor = torch.full((1_000_000,), float(number))
        checkpoint.save(path, checkpoint.Checkpoint({"a": tensor}, {"number": number}))


def main(what, path, balancer="", pause="0"):
    if what == "save":
        save_for_ever(path)
    try:
        say(digest(work(path, balancer, float(pause), lambda: say("begun"))))
    except KeyboardInterrupt as reason:
        say(reason)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
