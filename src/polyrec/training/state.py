"""Everything of a running stage that a checkpoint keeps."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from polyrec.shapes import Tensor
from polyrec.training.checkpoint import Checkpoint
from polyrec.training.optim import Optimizer


@dataclass(slots=True)
class Place:
    """How far a stage has come. `window` and `batch` name the batch that comes next."""

    stage: str
    epoch: int = 0
    window: int = 0
    batch: int = 0
    step: int = 0  # in the stage
    epoch_step: int = 0
    seconds: float = 0.0
    rows: int = 0


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

    parts: dict[str, nn.Module]  # model, objective, balancer
    optimizer: Optimizer
    place: Place
    best: Best = field(default_factory=Best)
    validations: list[dict[str, Any]] = field(default_factory=list)

    def keep_best(self) -> None:
        """Copy the weights as they are now."""
        self.best.weights = {name: one.detach().clone() for name, one in self._weights().items()}

    def take_best(self) -> None:
        """Put the best weights back."""
        if self.best.weights:
            self._load(self.best.weights)

    def checkpoint(self) -> Checkpoint:
        """Weights, optimizer, best weights, random state and place."""
        tensors = {f"weights/{name}": one for name, one in self._weights().items()}
        tensors |= {f"best/{name}": one for name, one in self.best.weights.items()}
        tensors |= {f"optimizer/{name}": one for name, one in self.optimizer.state().items()}
        tensors["random/torch"] = torch.get_rng_state()
        best = {"score": self.best.score, "step": self.best.step, "waited": self.best.waited}
        return Checkpoint(tensors, {"place": asdict(self.place), "best": best, "validations": self.validations})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take back what `checkpoint` gave."""
        self._load(checkpoint.part("weights"))
        self.optimizer.restore(checkpoint.part("optimizer"))
        self.best = Best(**checkpoint.values["best"], weights=checkpoint.part("best"))
        self.validations = list(checkpoint.values["validations"])
        self.place = Place(**checkpoint.values["place"])
        torch.set_rng_state(checkpoint.tensors["random/torch"])

    def _weights(self) -> dict[str, Tensor]:
        return {
            f"{part}/{name}": one for part, module in self.parts.items() for name, one in module.state_dict().items()
        }

    def _load(self, weights: dict[str, Tensor]) -> None:
        for part, module in self.parts.items():
            start = f"{part}/"
            module.load_state_dict({name[len(start) :]: one for name, one in weights.items() if name.startswith(start)})
