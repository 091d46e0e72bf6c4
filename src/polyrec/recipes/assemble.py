"""The one place where a model meets an objective."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from polyrec import models, objectives
from polyrec.artifact.manifest import Part
from polyrec.batch import Layout
from polyrec.config import RetrievalConfig, RunConfig, Split, TrainingConfig
from polyrec.declare import parse
from polyrec.errors import ConfigError, together
from polyrec.objectives import Balancer, Objective
from polyrec.recipes.recipe import Recipe, StageOptions, get
from polyrec.training.plan import Plan, Stage


@dataclass(frozen=True)
class Assembly:
    """Everything a stage trains, and the words to build it again."""

    recipe: Recipe
    stage: Stage
    model: nn.Module
    objective: Objective
    balancer: Balancer
    model_part: Part
    objective_part: Part

    @property
    def training(self) -> TrainingConfig:
        """The stage's budget."""
        return self.stage.training


def training_of(run: RunConfig, stage: StageOptions | None = None) -> TrainingConfig:
    """The recipe's training defaults, those of one stage if asked for, with the run file's over them."""
    plain = {**get(run.recipe).training, **(stage.training if stage else {}), **run.training}
    if stage is None or not run.stages.get(stage.name):
        return parse(TrainingConfig, plain, "[training]")
    return parse(TrainingConfig, {**plain, **run.stages[stage.name]}, f"[stages.{stage.name}]")


def plan_of(run: RunConfig) -> Plan:
    """The stages that a run goes through.

    Raises:
        ConfigError: options of a stage that the recipe does not have.

    Example:
        >>> from polyrec.config import DataConfig
        >>> run = RunConfig("mmoe", DataConfig("schema.toml", log=("log.parquet",)), training={"epochs": 2})
        >>> [(stage.name, stage.training.epochs) for stage in plan_of(run).stages]
        [('train', 2)]
    """
    recipe = get(run.recipe)
    for name in run.stages:
        recipe.stage(name)
    return Plan(tuple(_stage(run, recipe, one) for one in recipe.stages))


def device_of(run: RunConfig) -> str:
    """The GPU that a stage trains on, where one does; what is wrong with the run is told by `fit`.

    Example:
        >>> from polyrec.config import DataConfig
        >>> data = DataConfig("schema.toml", log=("log.parquet",))
        >>> device_of(RunConfig("mmoe", data)), device_of(RunConfig("mmoe", data, stages={"train": {"device": "cuda"}}))
        ('cpu', 'cuda')
    """
    try:
        devices = [stage.training.device for stage in plan_of(run).stages]
    except ConfigError:
        devices = [str(run.training.get("device", "cpu"))]
    return next((one for one in devices if one.startswith("cuda")), "cpu")


def _stage(run: RunConfig, recipe: Recipe, one: StageOptions) -> Stage:
    return Stage(
        one.name,
        training_of(run, one),
        data=one.data,
        objective=one.objective or recipe.objective,
        trainable=one.trainable,
        start=one.start,
        carry=one.carry,
        keep=one.keep,
    )


def resolve(run: RunConfig) -> RunConfig:
    """The run with every option written out, so that a later default changes nothing about it.

    Raises:
        ConfigError: an unknown recipe or option, with the nearest known name.
    """
    recipe = get(run.recipe)
    _refuse_options(run, recipe)
    training, name, model = training_of(run), *_model_of(run, recipe)
    options = {key: value for key, value in asdict(model).items() if key != "tables" and value is not None}
    balancer = training.balancer or recipe.balancer
    whole = _plain(training) | {"balancer": balancer}
    return replace(
        run,
        data=replace(run.data, split=run.data.split or Split()) if run.data.log else run.data,
        model={"name": name, **options},
        objective={**recipe.objective_options, **run.objective},
        balancer={**(recipe.balancer_options if balancer == recipe.balancer else {}), **run.balancer},
        training=whole,
        retrieval=asdict(parse(RetrievalConfig, run.retrieval, "[retrieval]")) if recipe.retrieves else run.retrieval,
        stages={
            stage.name: {key: value for key, value in _plain(stage.training).items() if value != whole.get(key)}
            for stage in plan_of(run).stages
        },
    )


def _refuse_options(run: RunConfig, recipe: Recipe) -> None:
    """Look at the options of every table before any of them is refused, and tell what is wrong with all."""
    tables: list[Callable[[], object]] = [
        lambda: training_of(run),
        lambda: _model_of(run, recipe),
        lambda: objectives.parsed(recipe.objective, {**recipe.objective_options, **run.objective}),
        lambda: parse(RetrievalConfig, run.retrieval, "[retrieval]"),
        *(partial(recipe.stage, name) for name in run.stages),
    ]
    problems = []
    for look in tables:
        try:
            look()
        except ConfigError as reason:
            problems.append(str(reason))
    if problems:
        raise ConfigError(together(problems, f"the run has {len(problems)} problems") if problems[1:] else problems[0])


def _model_of(run: RunConfig, recipe: Recipe) -> tuple[str, Any]:
    own = dict(run.model)
    name = own.pop("name", recipe.model)
    defaults = recipe.model_options if name == recipe.model else {}
    return name, parse(models.entry(name).config, {**defaults, **own}, f"[model] of {name}")


def _plain(training: TrainingConfig) -> dict[str, Any]:
    return {key: value for key, value in asdict(training).items() if value is not None}


def assemble(run: RunConfig, layout: Layout, stage: str | None = None) -> Assembly:
    """Build the parts of a recipe's stage (of its last one, unless named) for these rows.

    The seed decides every initial weight.

    Raises:
        ConfigError: an unknown recipe or option, with the nearest known name.
    """
    recipe = get(run.recipe)
    if run.transfer and recipe.transfer_options is None:
        raise ConfigError(f"[transfer] is not for recipe {recipe.name!r}. Remove the table.")
    if run.retrieval and not recipe.retrieves:
        raise ConfigError(f"[retrieval] is not for recipe {recipe.name!r}: it has no two towers. Remove the table.")
    recipe.check(layout.tasks)
    options = recipe.stage(stage) if stage is not None else recipe.stages[-1]
    planned = plan_of(run).stage(options.name)
    training = planned.training
    torch.manual_seed(training.seed)
    # The run file's [objective] is for the recipe's own.
    own_options = {**recipe.objective_options, **run.objective} if options.objective is None else {}
    objective_options = {**own_options, **options.objective_options}
    objective = objectives.build(planned.objective, layout, objective_options)
    # Which optimizer the tables get decides what gradients they make.
    own = dict(run.model)
    name = own.pop("name", recipe.model)  # another backbone under the recipe's objective
    if "tables" in own:
        raise ConfigError("[model] tables: write it as [training] tables, which decides the optimizer too.")
    mine = (recipe.model_options, options.model_options) if name == recipe.model else ({}, {})
    model_options = {**mine[0], **own, **mine[1], "tables": training.tables}
    model = models.build(name, layout, objective.heads, model_options)
    balancer = _balancer(recipe, objective, run.balancer, training)
    return Assembly(
        recipe,
        planned,
        model,
        objective,
        balancer,
        Part(name, model_options),
        Part(planned.objective, objective_options),
    )


def _balancer(recipe: Recipe, objective: Objective, options: Mapping[str, Any], training: TrainingConfig) -> Balancer:
    name = training.balancer or recipe.balancer
    defaults = recipe.balancer_options if name == recipe.balancer else {}
    return objectives.balance.build(name, objective.terms, {**defaults, **options})
