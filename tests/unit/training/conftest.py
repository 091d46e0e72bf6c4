"""A model, rows in memory and a validation, small enough to train in a test."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from polyrec import objectives
from polyrec.batch import Batch, Field, Layout, Output
from polyrec.config import TrainingConfig
from polyrec.data.loader import Position
from polyrec.nn.table import Table
from polyrec.schema import Task
from polyrec.training import Evaluation, Stage, train

LAYOUT = Layout(
    scenarios=("home", "feed"),
    tasks=(Task("click", "c"), Task("buy", "b", after="click")),
    categorical=(Field("user", 50), Field("item", 50)),
)
STEPS, ROWS = 8, 16


def random_batch(seed):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 50, (ROWS, 2), generator=generator)
    click = (torch.rand(ROWS, generator=generator) < 0.3 + 0.01 * ids[:, 0]).float()
    buy = click * (torch.rand(ROWS, generator=generator) < 0.01 * ids[:, 1]).float()
    none = torch.zeros(ROWS, dtype=torch.long)
    labels = torch.stack([click, buy], 1)
    return Batch(
        LAYOUT, ids, torch.zeros(ROWS, 0), none, labels, torch.ones(ROWS, 2, dtype=bool), torch.ones(ROWS), none
    )


class Memory:
    """The same few batches in every epoch."""

    rows, steps = STEPS * ROWS, STEPS

    def epoch(self, number, start):
        for place in range(start.batch, STEPS):
            yield Position(0, place + 1) if place < STEPS - 1 else Position(1, 0), random_batch(place)


class Tiny(nn.Module):
    def __init__(self, sparse=True):
        super().__init__()
        self.table = Table(100, 4, sparse=sparse)
        self.shared = nn.Linear(8, 8)
        self.towers = nn.ModuleDict({name: nn.Linear(8, 1) for name in ("click", "buy")})

    def forward(self, batch):
        h = self.shared(self.table(batch.ids + torch.tensor([0, 50])).flatten(1)).relu()
        return Output({name: tower(h)[:, 0] for name, tower in self.towers.items()})


@dataclass
class Setup:
    """What `train` takes; `scores`, when given, are the validations one after the other."""

    model: nn.Module = field(default_factory=Tiny)
    scores: list = field(default_factory=list)
    balancer: str = "fixed"
    loader: object = field(default_factory=Memory)
    at: list = field(default_factory=list)  # weights seen by each validation

    def evaluate(self):
        self.at.append({name: one.clone() for name, one in self.model.state_dict().items()})
        if self.scores:
            return Evaluation(self.scores[len(self.at) - 1], {})
        batch = random_batch(99)
        terms = self.objective(self.model(batch), batch)
        return Evaluation(-float(sum(terms.values())), {"home/click": float(terms["click"])})

    def train(self, *, folder=None, resume=False, log=None, stage=None, **options):
        self.objective = objectives.build("pointwise", LAYOUT)
        stage = stage or Stage("only", TrainingConfig(**{"epochs": 2, "evaluations": 2, "patience": 50, **options}))
        balancer = objectives.balance.build(self.balancer, self.objective.terms)
        parts = (stage, self.model, self.objective, balancer, self.loader, self.evaluate)
        return train(*parts, folder=folder, resume=resume, log=log)


@pytest.fixture
def setup():
    torch.manual_seed(0)
    return Setup


@pytest.fixture
def batch_of():
    return random_batch
