"""Recipes for one target scenario: rows of the others transferred to it, a teacher behind it, a guard over it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from polyrec.batch import Batch
from polyrec.config import RunConfig, TransferConfig
from polyrec.data.held import ByScenario
from polyrec.data.where import Both, Named, Where
from polyrec.declare import parse
from polyrec.errors import ConfigError, DataError, unknown
from polyrec.objectives import balance
from polyrec.objectives.distill import Distilled
from polyrec.recipes.assemble import Assembly, training_of
from polyrec.recipes.prepare import Prepared
from polyrec.recipes.recipe import Recipe, get
from polyrec.recipes.rows import Rows
from polyrec.training import Parts
from polyrec.training.run import Result
from polyrec.transfer.candidates import Found, Teacher, find, target_rows

TEACHER = "teacher"


def options_of(run: RunConfig) -> TransferConfig:
    """The run's [transfer] over the recipe's.

    Raises:
        ConfigError: no target is named.
    """
    recipe = get(run.recipe)
    plain = {**(recipe.transfer_options or {}), **run.transfer}
    if "target" not in plain:
        raise ConfigError(
            f'recipe {recipe.name!r} is for one target scenario. Name it: [transfer] target = "..." in the run file.'
        )
    return parse(TransferConfig, plain, "[transfer]")


@dataclass
class Transfer:
    """What the stages of a transfer recipe share: rows of the target, and those that are transferred to it."""

    run: RunConfig
    everywhere: Rows  # all scenarios
    options: TransferConfig
    candidates: Found | None = None  # once a stage has asked for them

    @classmethod
    def of(cls, run: RunConfig, prepared: Prepared) -> "Transfer":
        """Refuses a target that the rows do not have."""
        options, names = options_of(run), prepared.encoder.layout.scenarios
        if options.target not in names:
            raise ConfigError(
                "[transfer] target: " + unknown("scenario", options.target, names, "in the training rows")
            )
        return cls(run, Rows(run, prepared), options)

    @cached_property
    def rows(self) -> Rows:
        """The same run, validated and tested on the target's rows alone."""
        prepared = self.everywhere.prepared
        splits, column = prepared.splits, prepared.schema.keys.scenario
        mine = Named(column, (self.options.target,))

        def only(source: Any, name: str) -> Any:
            if source is None:
                return None
            where: Where = mine if source.where is None else Both(source.where, mine)
            found = source.filtered(where)
            if not found.rows():
                raise DataError(f"no {name} row is of the target {self.options.target!r}. Give rows of it.")
            return found

        parts = replace(splits, valid=only(splits.valid, "validation"), test=only(splits.test, "test"))
        return Rows(self.run, replace(prepared, splits=parts))

    def told(self, results: Mapping[str, Result], kept: str) -> dict[str, Any]:
        """For the report: how rows were found, how each ending did on the target's validation rows, which was kept."""
        stages = [stage for stage in get(self.run.recipe).stages if stage.name != TEACHER]
        endings = {one.name: results[one.name].history.best_score for one in stages}
        told = {"rows": len(self.target)} if self.candidates is None else self.candidates.told
        return {**told, "target": self.options.target, "endings": endings, "kept": kept}

    @property
    def _place(self) -> int:
        return self.everywhere.prepared.encoder.layout.scenarios.index(self.options.target)

    def parts(self, assembly: Assembly, results: Mapping[str, Result]) -> Parts:
        """What a stage trains, its rows, and how it is validated."""
        if assembly.stage.data == "train":
            rows = self.everywhere
            return Parts(
                assembly.model, assembly.objective, assembly.balancer, rows.loader(assembly), rows.evaluate(assembly)
            )
        training, objective, balancer = assembly.training, assembly.objective, assembly.balancer
        held = self.target
        if assembly.stage.data == "transfer":
            found = self.found(results)
            held = found.together(self.options.beta)
            if self.options.alpha > 0:
                objective = self._distilled(assembly, results[TEACHER], found)
                balancer = balance.build("fixed", objective.terms)
        loader = ByScenario(held, batch_size=training.batch_size, seed=training.seed)
        return Parts(assembly.model, objective, balancer, loader, self.rows.evaluate(assembly))

    def found(self, results: Mapping[str, Result]) -> Found:
        """The target's rows and the candidates, looked for once."""
        if self.candidates is None:
            parts = results[TEACHER].parts
            teacher = Teacher(parts.model.eval(), parts.objective.served)
            seed = training_of(self.run).seed
            self.candidates = find(self._batches, self.target, teacher, self.options, seed)
        return self.candidates

    @cached_property
    def target(self) -> Batch:
        """The target's training rows."""
        return target_rows(self._batches, self._place, self.options.target)

    def _batches(self) -> Iterable[Batch]:
        return self.everywhere.batches(self.everywhere.prepared.splits.train)

    def _distilled(self, assembly: Assembly, teacher: Result, found: Found) -> Distilled:
        model, objective = teacher.parts.model.eval(), teacher.parts.objective.served
        few = found.target.select(torch.arange(min(2, len(found.target))))
        with torch.no_grad():
            mine, theirs = assembly.model.eval()(few).hidden, model(few).hidden
        widths = {name: (mine[name].shape[-1], theirs[name].shape[-1]) for name in mine if name in theirs}

        def teach(batch: Any) -> Any:
            output = model(batch)
            return output, objective.predict(output)

        return Distilled(
            assembly.objective,
            teach,
            widths,
            alpha=self.options.alpha,
            temperature=self.options.temperature,
            adaptive=self.options.adaptive,
        )


def chosen(recipe: Recipe, results: Mapping[str, Result]) -> str:
    """The stage whose model the run keeps: the last, or of several candidates the one of best validation.

    The earlier of equal ones: a recipe lists the more careful first.
    """
    candidates = [stage.name for stage in recipe.stages if stage.candidate]
    if not candidates:
        return recipe.stages[-1].name
    scores = {name: results[name].history.best_score for name in candidates}
    return max(candidates, key=lambda name: -float("inf") if scores[name] is None else float(scores[name] or 0.0))
