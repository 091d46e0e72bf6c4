"""What trains beside a student: maps to a teacher's hidden states, or an adversary that looks for the target."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from polyrec.batch import Batch
from polyrec.config import TransferConfig
from polyrec.objectives import Balancer
from polyrec.objectives.adversarial import Adversarial
from polyrec.objectives.around import Around
from polyrec.objectives.balance.beside import Beside
from polyrec.objectives.distill import Distilled
from polyrec.objectives.objective import Objective
from polyrec.recipes.assemble import Assembly
from polyrec.training.device import device
from polyrec.training.seed import derive
from polyrec.transfer.asked import widths


class Parts(Protocol):
    """What a teacher is asked with."""

    @property
    def model(self) -> nn.Module:
        """Gives hidden states and logits."""
        ...

    @property
    def objective(self) -> Objective:
        """Turns logits into probabilities."""
        ...


def distilled(
    assembly: Assembly, teacher: Parts, rows: Batch, options: TransferConfig, alpha: float
) -> tuple[Around, Balancer]:
    """A stage's objective with the distillation, and its balancer, which leaves that term as it is.

    Args:
        assembly: of the stage.
        teacher: goes where the stage trains.
        rows: any of the layout.
        options: of the distillation.
        alpha: its weight.
    """
    place = device(assembly.training.device)
    model = teacher.model.eval().to(place)
    objective = teacher.objective.served.to(place)
    mine, theirs = widths(assembly.model.eval(), rows), widths(model, rows)

    def teach(batch: Any) -> Any:
        output = model(batch)
        return output, objective.predict(output)

    with drawn(assembly):
        found = Distilled(
            assembly.objective,
            teach,
            {name: (mine[name], theirs[name]) for name in mine if name in theirs},
            alpha=alpha,
            temperature=options.temperature,
            adaptive=options.adaptive,
        )
    return found, Beside(assembly.balancer, found.terms)


def adversarial(assembly: Assembly, place: int, rows: Batch, strength: float) -> tuple[Around, Balancer]:
    """A stage's objective with the adversary of the scenario at `place`, and its balancer, which leaves that term."""
    hidden = next(iter(widths(assembly.model.eval(), rows).items()))
    with drawn(assembly):
        found = Adversarial(assembly.objective, place, hidden, strength=strength)
    return found, Beside(assembly.balancer, found.terms)


@contextmanager
def drawn(assembly: Assembly) -> Iterator[None]:
    """First weights from the stage's seed alone: the same in every process, and when a run goes on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(assembly.training.seed, assembly.stage.name, "beside"))
        yield
