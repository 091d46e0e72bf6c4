"""What a recipe is, and the registry of recipes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from polyrec.errors import ConfigError, unknown
from polyrec.schema import Task
from polyrec.training.plan import SCRATCH, Carry


@dataclass(frozen=True, slots=True)
class StageOptions:
    """One stage of a recipe: what differs in it from the recipe as a whole.

    `training`, `model_options` and `objective_options` go over the recipe's own; the run file's tables go over
    `training` (its `[stages.NAME]` last of all) and under `model_options`, which make this stage what it is.
    The rest is as in `training.Stage`.
    """

    name: str
    training: Mapping[str, Any] = field(default_factory=dict)
    model_options: Mapping[str, Any] = field(default_factory=dict)
    objective: str | None = None  # another than the recipe's
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    trainable: tuple[str, ...] = ("*",)
    data: str = "train"  # or "positives", "pairs", ...: see `recipes.rows`
    start: str = SCRATCH
    carry: tuple[Carry, ...] = ()
    keep: Literal["best", "last"] = "best"
    candidate: bool = False  # one of several endings, of which `recipes.transferring` keeps one


TRAIN = StageOptions("train")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model, an objective, a balancer and how they are trained: the paper's summary as a value.

    `model`, `objective`, `balancer` name registered parts; the mappings hold this recipe's defaults for
    them, which a run file's tables override key by key. The last stage's model is what the run leaves, or
    one of several candidates.
    """

    name: str
    family: str
    paper: str
    summary: str
    needs: str
    model: str
    objective: str = "pointwise"
    balancer: str = "fixed"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    balancer_options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[StageOptions, ...] = (TRAIN,)
    transfer_options: Mapping[str, Any] | None = None  # of [transfer]; None: not for one target scenario
    via: bool = False  # whether it is nothing of its own where no task of the schema has `via`

    def check(self, tasks: Sequence[Task]) -> None:
        """Refuse a schema's tasks under which the recipe would quietly be another one.

        Raises:
            ConfigError: none has `via`, and the recipe is about that.
        """
        if self.via and not any(task.via for task in tasks):
            names = ", ".join(task.name for task in tasks)
            raise ConfigError(
                f"recipe {self.name!r} needs {self.needs}, and none of {names} has one: it would be esmm. "
                'In the schema, add via = "ACTION" to a task that has after, where ACTION is '
                "another task after the same parent (a cart before a purchase); or train recipe 'esmm'."
            )

    @property
    def retrieves(self) -> bool:
        """Whether it trains user and item vectors to retrieve with."""
        return self.stages[-1].data.startswith("positives")

    def stage(self, name: str) -> StageOptions:
        """The stage of that name."""
        for one in self.stages:
            if one.name == name:
                return one
        known = [one.name for one in self.stages]
        raise ConfigError(unknown("stage", name, known, f"a stage of recipe {self.name!r}"))


_RECIPES: dict[str, Recipe] = {}


def add(recipe: Recipe) -> Recipe:
    """Make a recipe known by its name."""
    if _RECIPES.get(recipe.name, recipe) != recipe:
        raise ConfigError(f"recipe {recipe.name!r} is known already. Choose another name.")
    _RECIPES[recipe.name] = recipe
    return recipe


def names() -> tuple[str, ...]:
    """Known recipes, in order of registration."""
    return tuple(_RECIPES)


def get(name: str) -> Recipe:
    """The recipe of that name."""
    if name not in _RECIPES:
        raise ConfigError(unknown("recipe", name, _RECIPES, "known"))
    return _RECIPES[name]
