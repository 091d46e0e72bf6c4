"""What is trained, in which order: stages, and the plan that they make."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from polyrec.config import TrainingConfig
from polyrec.errors import ConfigError, together, unknown
from polyrec.shapes import Tensor
from polyrec.training.weights import misfit

PREVIOUS = "previous"
SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Stage:
    """One training run: rows, objective, budget, the parameters that may move, and the weights it starts from.

    Args:
        name: of the stage; unique in a plan.
        training: its budget.
        data: the slice of rows, by the name that whoever builds the stage's parts knows it by.
        objective: likewise.
        trainable: patterns of parameter names (`experts.*`); every other parameter stays as it is.
        start: `"scratch"`, the weights as built; `"previous"`, those that the stage before ended with; or the
            name of an earlier stage, to go back to what that one ended with.

    Example:
        >>> Stage("tune", TrainingConfig(lr=1e-4), trainable=("towers.*",), start="pretrain").name
        'tune'
    """

    name: str
    training: TrainingConfig
    data: str = "train"
    objective: str = "pointwise"
    trainable: tuple[str, ...] = ("*",)
    start: str = SCRATCH

    def freeze(self, model: nn.Module) -> None:
        """Let exactly this stage's parameters move.

        Raises:
            ConfigError: a pattern that no parameter's name fits.
        """
        names = [name for name, _ in model.named_parameters()]
        idle = [pattern for pattern in self.trainable if not any(fnmatchcase(name, pattern) for name in names)]
        if idle:
            known = sorted({f"{name.partition('.')[0]}.*" for name in names})
            raise ConfigError(f"stage {self.name!r}: trainable: {unknown('pattern', idle[0], known, 'a parameter')}")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(fnmatchcase(name, pattern) for pattern in self.trainable))


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages in order.

    Pre-train then fine-tune is two stages, the second from `"previous"`; search then retrain goes back to an
    earlier stage; day after day is one stage a day.

    Raises:
        ConfigError: no stage, a name twice, a start that is not an earlier stage; all of it at once.

    Example:
        >>> budget = TrainingConfig()
        >>> plan = Plan((Stage("all", budget), Stage("home", budget, data="home", start="previous")))
        >>> plan.start(plan.stages[1])
        'all'
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        problems = [] if self.stages else ["no stage. Add one"]
        for place, stage in enumerate(self.stages):
            earlier = [one.name for one in self.stages[:place]]
            if stage.name in earlier:
                problems.append(f"stage {stage.name!r} is there twice. Rename one")
            if stage.start not in (SCRATCH, *earlier) and not (stage.start == PREVIOUS and earlier):
                known = [SCRATCH, *([PREVIOUS] if earlier else []), *earlier]
                problems.append(f"stage {stage.name!r}: {unknown('start', stage.start, known, 'an earlier stage')}")
        if problems:
            raise ConfigError(together(problems, "the plan"))

    def start(self, stage: Stage) -> str | None:
        """The name of the stage whose weights this one starts from; None for weights as built."""
        if stage.start == PREVIOUS:
            return self.stages[self.stages.index(stage) - 1].name
        return None if stage.start == SCRATCH else stage.start


def begin_from(stage: Stage, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a stage's model the weights that an earlier stage ended with.

    Raises:
        ConfigError: the two models do not have the same parameters.
    """
    found = misfit(model, weights)
    if found is not None:
        raise ConfigError(
            f"stage {stage.name!r} cannot start from {stage.start!r}: {found}. Build both stages' models alike."
        )
    model.load_state_dict(dict(weights))
