"""Everything of a running stage that a checkpoint keeps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from polyrec.distributed import ALONE, World
from polyrec.errors import DataError, NotReadyError
from polyrec.shapes import Tensor
from polyrec.training.average import Average
from polyrec.training.checkpoint import Checkpoint
from polyrec.training.losses import Losses
from polyrec.training.optim import Optimizer
from polyrec.training.weights import misfit


@dataclass(slots=True)
class Place:
    """How far a stage has come. `window` and `batch` name the batch that comes next."""

    stage: str
    before: int = 0  # steps of the stages before
    epoch: int = 0
    window: int = 0
    batch: int = 0
    step: int = 0  # in the stage
    epoch_step: int = 0  # in the epoch
    seconds: float = 0.0  # of training, validation left out
    taken: float = 0.0  # seconds of everything up to the last checkpoint, in all attempts
    cpu: float = 0.0  # of the same, seconds of this process's CPU
    rows: int = 0
    events: int = 0  # bytes of events told so far
    ended: str = ""  # "budget" or "patience" once the stage is over


@dataclass(slots=True)
class Best:
    """The best validation so far and the weights it was seen with."""

    score: float | None = None
    step: int = 0
    waited: int = 0  # validations since
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass(slots=True)
class Running:
    """A stage under way: parts that learn, and where they are."""

    parts: Mapping[str, nn.Module]  # model, objective, balancer
    optimizer: Optimizer
    place: Place
    average: Average
    best: Best = field(default_factory=Best)
    validations: list[dict[str, Any]] = field(default_factory=list)
    losses: Losses = field(default_factory=Losses)
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)  # weights at the start of an epoch

    def snap(self) -> None:
        """Copy the weights as they are now, at the start of an epoch."""
        self.snapshots[self.place.epoch] = self._copied()

    def judged(self, score: float | None, *, keep: bool) -> bool:
        """Take in a validation of the weights as they are now; whether none was better. `keep`: copy such weights."""
        best = self.best
        better = score is not None and (best.score is None or score > best.score)
        if not better and best.score is not None:
            best.waited += 1
            return False
        best.score, best.step, best.waited = score, self.place.step, 0
        if keep:
            best.weights = {}  # room for the new ones
            best.weights = self._copied()
        return better

    def finish(self, *, best: bool) -> None:
        """End with the weights of the best validation, or else with the last ones, averaged where they are averaged."""
        if best and self.best.weights:
            self._load(self.best.weights)
        elif not best:
            self.average.settle()

    def checkpoint(self, world: World = ALONE) -> Checkpoint:
        """Weights, optimizer, average, best weights, random state, place; of a stage that has ended the first two.

        Those two are what training on later rows begins with. Every process of `world` calls it; all but random states
        is the same at all.
        """
        tensors = {f"weights/{name}": one for name, one in self._weights().items()}
        for epoch, weights in self.snapshots.items():
            tensors |= {f"snapshots/{epoch}/{name}": one for name, one in weights.items()}
        tensors |= {f"optimizer/{name}": one for name, one in self.optimizer.state().items()}
        if not self.place.ended:
            tensors |= {f"best/{name}": one for name, one in self.best.weights.items()}
            tensors |= {f"average/{name}": one for name, one in self.average.weights.items()}
            tensors |= {f"random/{name}": one for name, one in _random(world).items()}
            if self.losses.held:
                tensors["losses/held"] = torch.stack(self.losses.held)
        best = {"score": self.best.score, "step": self.best.step, "waited": self.best.waited}
        values = {"place": asdict(self.place), "best": best, "validations": self.validations}
        return Checkpoint(tensors, {**values, "losses": list(self.losses.names), "snapshots": list(self.snapshots)})

    def restore(self, found: Checkpoint, world: World = ALONE) -> None:
        """Take back what `checkpoint` gave, at as many processes or another number of them.

        Raises:
            DataError: it belongs to another model.
            NotReadyError: it belongs to another stage.
        """
        stage = found.values["place"]["stage"]
        if stage != self.place.stage:
            raise NotReadyError(
                f"the checkpoint is of stage {stage!r}, not {self.place.stage!r}. Start in a new folder."
            )
        self._load(found.part("weights"))
        self.best = Best(**found.values["best"], weights=found.part("best"))
        self.snapshots = {epoch: found.part(f"snapshots/{epoch}") for epoch in found.values.get("snapshots", ())}
        self.validations = list(found.values["validations"])
        self.place = Place(**found.values["place"])
        self.losses.names = tuple(found.values["losses"])
        if not self.place.ended:
            self.optimizer.load(found.part("optimizer"))
            self.average.load(found.part("average"))
            _set_random(found.part("random"), world)
            held = found.part("losses").get("held")
            self.losses.held = list(held) if held is not None else []

    def _weights(self) -> dict[str, Tensor]:
        return {
            f"{part}/{name}": one for part, module in self.parts.items() for name, one in module.state_dict().items()
        }

    def _copied(self) -> dict[str, Tensor]:
        return {name: one.detach().clone() for name, one in self._weights().items()}

    def _load(self, weights: Mapping[str, Tensor]) -> None:
        for part, module in self.parts.items():
            start = f"{part}/"
            mine = {name[len(start) :]: one for name, one in weights.items() if name.startswith(start)}
            found = misfit(module, mine)
            if found is not None:
                raise DataError(
                    f"the checkpoint does not fit this {part}: {found}. "
                    "Resume with the run file that the run was started with."
                )
            module.load_state_dict(mine)


def _random(world: World) -> dict[str, Tensor]:
    """The states that dropout draws from: of the first process by device, of each other one its CPU's and its GPU's."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    found = {"cpu": torch.get_rng_state(), **{f"cuda:{place}": one for place, one in enumerate(cuda)}}
    if world.alone:
        return found
    own = {"cpu": torch.get_rng_state(), **({"cuda": torch.cuda.get_rng_state()} if cuda else {})}
    for kind, state in own.items():
        found |= {f"process:{rank}:{kind}": one for rank, one in enumerate(world.gather(state)) if rank}
    return found


def _set_random(states: Mapping[str, Tensor], world: World) -> None:
    if not world.leads:
        for kind, put in (("cpu", torch.set_rng_state), ("cuda", torch.cuda.set_rng_state)):
            mine = states.get(f"process:{world.rank}:{kind}")  # None: fewer processes; the seed has given it a state
            if mine is not None and (kind == "cpu" or torch.cuda.is_available()):
                put(mine)
        return
    for name, one in states.items():
        if name == "cpu":
            torch.set_rng_state(one)
        elif name.startswith("cuda") and int(name.partition(":")[2]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(one, name)
