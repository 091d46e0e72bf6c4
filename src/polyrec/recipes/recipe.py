"""What a recipe is, and the registry of recipes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from polyrec.errors import ConfigError, unknown


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model, an objective, a balancer and how they are trained: the paper's summary as a value.

    `model`, `objective`, `balancer` name registered parts; the mappings hold this recipe's defaults for
    them, which a run file's tables override key by key.
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
