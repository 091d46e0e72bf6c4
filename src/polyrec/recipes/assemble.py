"""The one place where a model meets an objective."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from polyrec import models, objectives
from polyrec.artifact.manifest import Part
from polyrec.batch import Layout
from polyrec.config import RunConfig, Split, TrainingConfig
from polyrec.declare import parse
from polyrec.errors import ConfigError
from polyrec.objectives import Balancer, Objective
from polyrec.recipes.recipe import Recipe, get


@dataclass(frozen=True)
class Assembly:
    """Everything a stage trains, and the words to build it again."""

    recipe: Recipe
    model: nn.Module
    objective: Objective
    balancer: Balancer
    training: TrainingConfig
    model_part: Part
    objective_part: Part


def training_of(run: RunConfig) -> TrainingConfig:
    """The recipe's training defaults with the run file's [training] over them."""
    return parse(TrainingConfig, {**get(run.recipe).training, **run.training}, "[training]")


def resolve(run: RunConfig) -> RunConfig:
    """The run with every option written out, so that a later default changes nothing about it.

    Raises:
        ConfigError: an unknown recipe or option, with the nearest known name.
    """
    recipe, training = get(run.recipe), training_of(run)
    own = dict(run.model)
    name = own.pop("name", recipe.model)
    config = models.entry(name).config
    model = parse(config, {**(recipe.model_options if name == recipe.model else {}), **own}, f"[model] of {name}")
    options = {key: value for key, value in asdict(model).items() if key != "tables" and value is not None}
    balancer = training.balancer or recipe.balancer
    return replace(
        run,
        data=replace(run.data, split=run.data.split or Split()) if run.data.log else run.data,
        model={"name": name, **options},
        objective={**recipe.objective_options, **run.objective},
        balancer={**(recipe.balancer_options if balancer == recipe.balancer else {}), **run.balancer},
        training={
            **{key: value for key, value in asdict(training).items() if value is not None},
            "balancer": balancer,
        },
    )


def assemble(run: RunConfig, layout: Layout) -> Assembly:
    """Build a recipe's parts for these rows; the seed decides every initial weight.

    Raises:
        ConfigError: an unknown recipe or option, with the nearest known name.
    """
    recipe = get(run.recipe)
    if run.transfer:
        raise ConfigError(f"[transfer] is not for recipe {recipe.name!r}. Remove the table.")
    training = training_of(run)
    torch.manual_seed(training.seed)
    objective_options = {**recipe.objective_options, **run.objective}
    objective = objectives.build(recipe.objective, layout, objective_options)
    # Which optimizer the tables get decides what gradients they make.
    own = dict(run.model)
    name = own.pop("name", recipe.model)  # another backbone under the recipe's objective
    if "tables" in own:
        raise ConfigError("[model] tables: write it as [training] tables, which decides the optimizer too.")
    model_options = {**(recipe.model_options if name == recipe.model else {}), **own, "tables": training.tables}
    model = models.build(name, layout, objective.heads, model_options)
    balancer = _balancer(recipe, objective, run.balancer, training)
    return Assembly(
        recipe,
        model,
        objective,
        balancer,
        training,
        Part(name, model_options),
        Part(recipe.objective, objective_options),
    )


def _balancer(recipe: Recipe, objective: Objective, options: Mapping[str, Any], training: TrainingConfig) -> Balancer:
    name = training.balancer or recipe.balancer
    defaults = recipe.balancer_options if name == recipe.balancer else {}
    return objectives.balance.build(name, objective.terms, {**defaults, **options})
