"""What goes on from one period to the next: a stage's parts, and the state of their optimizer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from polyrec.config import RunConfig
from polyrec.data.encode import Encoder
from polyrec.errors import NotReadyError
from polyrec.recipes.assemble import Assembly, assemble
from polyrec.shapes import Tensor
from polyrec.training import checkpoint
from polyrec.training.growth import Growth

TRANSFER = "transfer"  # data of a stage that learns from a teacher and from chosen rows of other scenarios


@dataclass(frozen=True)
class Learner:
    """A stage that goes on: its parts with their weights, and the state of their optimizer."""

    assembly: Assembly
    optimizer: Mapping[str, Tensor]

    @property
    def parts(self) -> dict[str, torch.nn.Module]:
        """The modules by the names that checkpoints know them by."""
        one = self.assembly
        return {"model": one.model, "objective": one.objective, "balancer": one.balancer}

    def tensors(self) -> dict[str, Tensor]:
        """Weights and optimizer state by name, as a checkpoint has them."""
        weights = {f"weights/{part}/{name}": one for part, module in self.parts.items()
                   for name, one in module.state_dict().items()}  # fmt: skip
        return weights | {f"optimizer/{name}": one for name, one in self.optimizer.items()}

    @classmethod
    def load(cls, run: RunConfig, encoder: Encoder, stage: str, path: Path) -> "Learner":
        """A stage with the weights and the optimizer's state of a file; of what taught it, nothing.

        Raises:
            NotReadyError: the file does not have both.
        """
        found = checkpoint.load(path)
        optimizer = {} if found is None else found.part("optimizer")
        if found is None or not optimizer:
            raise NotReadyError(
                f"{path} has no weights with the state of their optimizer: an earlier polyrec wrote it. Fit again."
            )
        learner = cls(assemble(run, encoder.layout, stage), optimizer)
        for part, module in learner.parts.items():
            weights = found.part(f"weights/{part}")
            module.load_state_dict(_inner(part, weights) if learner.assembly.stage.data == TRANSFER else weights)
        return learner if learner.assembly.stage.data != TRANSFER else learner.alone()

    def alone(self) -> "Learner":
        """Without the optimizer's state of what was trained beside it."""
        found: dict[str, Tensor] = {}
        for name, one in self.optimizer.items():
            kind, part, rest = name.split(".", 2)
            found |= {f"{kind}.{part}.{own}": one for own in _inner(part, {rest: one})}
        return replace(self, optimizer=found)

    def around(self) -> "Learner":
        """With the optimizer's state by the names that its parts have inside of what is trained beside them."""
        found = {}
        for name, one in self.optimizer.items():
            kind, part, rest = name.split(".", 2)
            found[f"{kind}.{part}.{_INSIDE.get(part, '')}{rest}"] = one
        return replace(self, optimizer=found)

    def grown(self, run: RunConfig, encoder: Encoder, known: int, seed: int) -> "Learner":
        """The same for a larger layout: what was learned in its place, what is new as the model begins."""
        torch.manual_seed(seed)
        made = assemble(_seeded(run, seed), encoder.layout, self.assembly.stage.name)
        # The seed is of new weights alone: later periods draw theirs from the run's, as after a restart.
        new = Learner(replace(made, stage=self.assembly.stage), {})
        optimizer: dict[str, Tensor] = {}
        for part, module in new.parts.items():
            growth = Growth.between(self.parts[part], module, scenarios=(known, len(encoder.layout.scenarios)))
            module.load_state_dict(growth.weights(self.parts[part].state_dict(), module.state_dict()))
            shapes = {name: one.shape for name, one in module.named_parameters()}
            optimizer |= growth.optimizer(part, self.optimizer, shapes)
        return replace(new, optimizer=optimizer)


_INSIDE = {"objective": "base.", "balancer": "balanced."}  # what stands before the names of a part that is inside


def _inner(part: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a part's state, which may be of an objective or a balancer around another, that of the other.

    Example:
        >>> _inner("objective", {"base.scale": torch.ones(1), "maps.bottom.weight": torch.ones(1)})
        {'scale': tensor([1.])}
    """
    prefix = _INSIDE.get(part, "")
    inner = {name: one for name, one in weights.items() if part != "objective" or not name.startswith("maps.")}
    return {name.removeprefix(prefix): one for name, one in inner.items()}


def _seeded(run: RunConfig, seed: int) -> RunConfig:
    """The same run with other first weights."""
    stages = {name: {**options, "seed": seed} for name, options in run.stages.items()}
    return replace(run, training={**run.training, "seed": seed}, stages=stages)
