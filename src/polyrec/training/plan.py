"""What is trained, in which order: stages, and the plan that they make."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from torch import nn

from polyrec.config import TrainingConfig
from polyrec.errors import ConfigError, together, unknown
from polyrec.shapes import Tensor
from polyrec.training.weights import misfit

PREVIOUS = "previous"
SCRATCH = "scratch"


class Point(NamedTuple):
    """Weights that a plan may go back to: a stage's last ones, or those at the start of one of its epochs."""

    stage: str
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Carry:
    """Weights of a stage's model that come from another place than its start.

    Args:
        source: an earlier stage, or an epoch of one (`"search@9"`).
        of: beginning of the names to take, there.
        to: what stands in its place in the names here.
        optional: whether a model without weights of these names does without them.

    Example:
        >>> Carry("search", of="inputs.", to="selector.inputs.").renamed({"inputs.a": 1, "end.b": 2})
        {'selector.inputs.a': 1}
    """

    source: str
    of: str = ""
    to: str = ""
    optional: bool = False

    def renamed(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights to take, by their names here."""
        return {self.to + name[len(self.of) :]: one for name, one in weights.items() if name.startswith(self.of)}


@dataclass(frozen=True, slots=True)
class Stage:
    """One training run: rows, objective, budget, the parameters that may move, and the weights it starts from.

    Args:
        name: of the stage; unique in a plan.
        training: its budget.
        data: the slice of rows, by the name that whoever builds the stage's parts knows it by.
        objective: likewise.
        trainable: patterns of parameter names (`experts.*`); every other parameter stays as it is.
        start: `"scratch"`, the weights as built; `"previous"`, those that the stage before ended with; the name
            of an earlier stage, to go back to what that one ended with; or, to rewind, `"search@9"`: what stage
            `search` had at the start of its epoch 9, counted from 0 (`"search@-1"`: of its last epoch).
        carry: weights that come from elsewhere than `start`, each over the one before.
        keep: which weights it ends with: those of the best validation, or the last ones. With `"last"` the
            budget is used up: no patience ends the stage.

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
    carry: tuple[Carry, ...] = ()
    keep: Literal["best", "last"] = "best"

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

    def wake(self, model: nn.Module) -> None:
        """Training mode; a frozen module that keeps moments of what it saw keeps them as they are, and uses them."""
        model.train()
        for module in model.modules():
            own = list(module.parameters())
            if own and any(True for _ in module.buffers(recurse=False)) and not any(one.requires_grad for one in own):
                module.training = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages in order.

    Pre-train then fine-tune is two stages, the second from `"previous"`; search then retrain goes back to an
    earlier stage, or to an epoch of it; day after day is one stage a day.

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
            earlier = self.stages[:place]
            if stage.name in (one.name for one in earlier):
                problems.append(f"stage {stage.name!r} is there twice. Rename one")
            problems += [f"stage {stage.name!r}: {words}" for words in _sources(stage, earlier)]
        if problems:
            raise ConfigError(together(problems, "the plan"))

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return next(one for one in self.stages if one.name == name)

    def start(self, stage: Stage) -> str | None:
        """The stage whose weights this one starts from; None for weights as built."""
        point = self.point(stage, stage.start)
        return point.stage if point is not None else None

    def point(self, stage: Stage, source: str) -> Point | None:
        """What a `start` or a carry's `source` of a stage means; None: weights as built."""
        if source == SCRATCH:
            return None
        if source == PREVIOUS:
            return Point(self.stages[self.stages.index(stage) - 1].name)
        name, _, epoch = source.partition("@")
        if not epoch:
            return Point(name)
        return Point(name, int(epoch) % self.stage(name).training.epochs)

    def snapshots(self, stage: Stage) -> tuple[int, ...]:
        """Epochs of a stage that a later one goes back to the start of."""
        found = set()
        for one in self.stages:
            for source in (one.start, *(part.source for part in one.carry)):
                point = self.point(one, source)
                if point is not None and point.stage == stage.name and point.epoch is not None:
                    found.add(point.epoch)
        return tuple(sorted(found))


def _sources(stage: Stage, earlier: tuple[Stage, ...]) -> list[str]:
    """What is wrong with where a stage takes its weights from."""
    known = [SCRATCH, *([PREVIOUS] if earlier else []), *(one.name for one in earlier)]
    budget = {one.name: one.training.epochs for one in earlier}
    problems = []
    for what, source in (("start", stage.start), *(("carry", one.source) for one in stage.carry)):
        name, at, epoch = source.partition("@")
        if name not in (known if what == "start" and not at else budget):
            problems.append(unknown(what, source, known if what == "start" else list(budget), "an earlier stage"))
        elif at and not (epoch.removeprefix("-").isdigit() and -budget[name] <= int(epoch) < budget[name]):
            problems.append(
                f"{what} {source!r}: stage {name!r} has epochs 0 to {budget[name] - 1}. "
                f"Name one of them, or count from the end ('{name}@-1')"
            )
    return problems


@runtime_checkable
class Adopting(Protocol):
    """A model that can begin from weights of another form, which it turns into its own."""

    def adopt(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by its own names and in its own shapes, as far as they can be turned into them."""
        ...


def begin_from(stage: Stage, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a stage's model, or its objective, the weights that it starts from.

    Raises:
        ConfigError: they are not weights of this module.
    """
    if isinstance(module, Adopting):
        weights = module.adopt(weights)
    wrong = misfit(module, weights)
    if wrong is not None:
        source = ", ".join(repr(one) for one in dict.fromkeys((stage.start, *(one.source for one in stage.carry))))
        raise ConfigError(f"stage {stage.name!r} cannot start from {source}: {wrong}. Build both stages' models alike.")
    module.load_state_dict(dict(weights))
