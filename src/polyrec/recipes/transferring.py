"""Recipes for one target scenario: rows of the others transferred to it, a teacher behind it, a guard over it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from polyrec.batch import NO_USER, Batch
from polyrec.config import RunConfig, TransferConfig
from polyrec.data.held import ByScenario, join
from polyrec.data.where import Both, Named, Where
from polyrec.declare import parse
from polyrec.errors import ConfigError, DataError, unknown
from polyrec.objectives import balance
from polyrec.objectives.distill import Distilled, row_losses
from polyrec.recipes.assemble import Assembly, training_of
from polyrec.recipes.prepare import Prepared
from polyrec.recipes.recipe import Recipe, get
from polyrec.recipes.rows import Rows
from polyrec.training import Parts
from polyrec.training.run import Result
from polyrec.transfer.candidates import Found, Teacher, find, target_rows

TEACHER = "teacher"
BLOCK = 8_192


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

    def told(self, endings: Sequence["Ending"], kept: str) -> dict[str, Any]:
        """For the report: how rows were found, how each ending did on the target's validation rows, which was kept."""
        told = {"rows": len(self.target)} if self.candidates is None else self.candidates.told
        return {**told, "target": self.options.target, "endings": [asdict(one) for one in endings], "kept": kept}

    def endings(self, recipe: Recipe, results: Mapping[str, Result]) -> tuple[str, tuple["Ending", ...]]:
        """Which of several endings is kept, and how each did on the target's validation rows.

        The last candidate is kept unless a more careful one is better by more than the standard error of the
        difference, users taken as wholes: a few hundred rows cannot tell more, and choosing the least loss among them
        is choosing by noise.
        """
        names = [stage.name for stage in recipe.stages if stage.candidate]
        if not names:
            return recipe.stages[-1].name, ()
        rows = join(list(self.rows.batches(self.rows.prepared.splits.valid)))
        losses = {name: _losses(results[name], rows) for name in names}
        found = []
        for name in names:
            gap, error = _gap(losses[names[-1]] - losses[name], rows.user.numpy())
            found.append(Ending(name, round(float(losses[name].mean()), 6), round(gap, 6), round(error, 6)))
        better = [one for one in found if one.gain > one.error]
        return max(better, key=lambda one: one.gain).name if better else names[-1], tuple(found)

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


@dataclass(frozen=True, slots=True)
class Ending:
    """One way for a run to end: its mean log-loss over validation rows, tasks summed, and the gain over the last."""

    name: str
    log_loss: float
    gain: float
    error: float  # standard error of the gain


@torch.no_grad()
def _losses(result: Result, rows: Batch) -> np.ndarray:
    model, objective = result.parts.model.eval(), result.parts.objective.served
    parts = []
    for at in range(0, len(rows), BLOCK):
        batch = rows.select(torch.arange(at, min(at + BLOCK, len(rows))))
        parts.append(row_losses(objective.predict(model(batch)), batch))
    return torch.cat(parts).double().numpy()


def _gap(difference: np.ndarray, users: np.ndarray) -> tuple[float, float]:
    """Mean of the rows' differences, and its standard error with users as clusters; rows of nobody are each alone."""
    count = len(difference)
    alone = users == NO_USER
    keys = np.where(alone, np.arange(count), users)
    _, place = np.unique(np.stack([alone, keys]), axis=1, return_inverse=True)
    mean = float(difference.mean())
    sums = np.bincount(place.ravel(), weights=difference - mean)
    clusters = len(sums)
    return mean, float(np.sqrt((sums**2).sum() * clusters / max(clusters - 1, 1)) / count)
