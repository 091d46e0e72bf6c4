"""Recipes for one target scenario: rows of the others transferred to it, a teacher behind it, a guard over it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from polyrec.atomic import write_text
from polyrec.batch import Batch
from polyrec.config import RunConfig, TransferConfig
from polyrec.data.held import ByScenario
from polyrec.declare import parse
from polyrec.distributed import world
from polyrec.errors import ConfigError, unknown
from polyrec.evaluation.collected import Collected
from polyrec.recipes.assemble import Assembly, assemble, training_of
from polyrec.recipes.beside import adversarial, distilled
from polyrec.recipes.endings import Ending, endings, kept, losses_of, verdict
from polyrec.recipes.over_time import accepted, judged
from polyrec.recipes.portions import Portions, validated
from polyrec.recipes.prepare import Prepared
from polyrec.recipes.recipe import Recipe, get
from polyrec.recipes.rows import Rows
from polyrec.recipes.taught import as_given, spared_by, taught, told_by
from polyrec.recipes.tuning import Beta, Tried, Tuned, tune
from polyrec.shapes import Float
from polyrec.training import Parts, train
from polyrec.training.plan import begin_from
from polyrec.training.run import Result
from polyrec.transfer.candidates import Found, Teacher, find

TEACHER = "teacher"
DOUBT = ". The given teacher may have stopped on some of these rows, which favours endings that begin with it"


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
    portions: Portions
    options: TransferConfig
    notes: Path | None = None  # where what was tuned is kept, for a run that goes on
    candidates: Found | None = None  # once a stage has asked for them
    chosen: Tuned | None = None

    @classmethod
    def of(cls, run: RunConfig, prepared: Prepared, notes: Path | None = None) -> "Transfer":
        """Refuses a target that the rows do not have."""
        options, names = options_of(run), prepared.encoder.layout.scenarios
        if options.target not in names:
            raise ConfigError(
                "[transfer] target: " + unknown("scenario", options.target, names, "in the training rows")
            )
        return cls(run, Portions(run, Rows(run, prepared), options), options, notes)

    def told(self, found: Sequence[Ending], kept: str, events: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """For the report: how rows were found, what was tuned, how each ending did, which was kept and why."""
        known: Mapping[str, Any] = {"rows": len(self.portions.target)}
        told = dict(known if self.candidates is None else self.candidates.told)
        if self.chosen is not None:
            told["tuned"] = asdict(self.chosen)
        shares = [
            {"step": one["step"], "share": round(one["losses"]["distilled_share"], 4)}
            for one in events
            if one.get("stage") == "transfer" and "distilled_share" in (one.get("losses") or {})
        ]
        if shares:
            told["distilled"] = shares
        if found:
            told["margin"] = self.options.margin
            told["verdict"] = verdict(found, kept, len(self.portions.judging)) + (DOUBT if self.doubtful else "")
        return {**told, "target": self.options.target, "endings": [asdict(one) for one in found], "kept": kept}

    def over_time(
        self, results: Mapping[str, Result], known: Mapping[str, Collected | None] | None = None
    ) -> dict[str, Any]:
        """For the report: every stage by period of the test rows, and what was accepted by period; or why not.

        `known`: test rows as stages have scored them already.
        """
        column, found = self.portions.everywhere.prepared.schema.keys.time, self.candidates
        if column is None:
            return {}
        told: dict[str, Any] = {}
        try:  # times since 1970 or none, a period that suits them, and not too many of those
            told["daily"] = judged(self.portions.rows, results, self.options, known)
        except ConfigError as reason:
            told["undated"] = str(reason)
        try:
            if found is not None:
                distils = self.chosen is None or self.chosen.alpha > 0
                told["accepted"] = accepted(self.portions.window, column, found, results, self.options, distils=distils)
        except ConfigError as reason:
            told["undated"] = str(reason)
        return {name: one for name, one in told.items() if one is not None}

    def endings(self, recipe: Recipe, results: Mapping[str, Result]) -> tuple[str, tuple[Ending, ...]]:
        """Which of several endings is kept, and how each did on rows that stopped and tuned none."""
        names = [stage.name for stage in recipe.stages if stage.candidate]
        if not names:
            return recipe.stages[-1].name, ()
        mine = endings(results, names, self.portions.judging)
        found = world().from_first(lambda: mine)  # several processes keep the same one
        return kept(found, self.options.margin), found

    def left(self, kept: str, assembly: Assembly, results: Mapping[str, Result]) -> Assembly:
        """What the run leaves: the assembly of the stage that is kept, or the teacher that was given."""
        given = self.options.teacher
        return as_given(given, assembly, results[TEACHER]) if kept == TEACHER and given is not None else assembly

    def trained_on(self, kept: str) -> dict[str, Any]:
        """For the manifest of what is left: of a teacher, what it was not shown, or what the given one says."""
        if kept != TEACHER:
            return {}
        return self.portions.told() if self.options.teacher is None else told_by(self.options.teacher)

    def score(self, kept: str, last: Assembly, results: Mapping[str, Result]) -> float | None:
        """What is left on the rows that stop the last stage, by its metric, so that runs compare whatever they keep."""
        result = results[kept]
        if kept != TEACHER:
            return result.history.best_score
        parts = replace(last, model=result.parts.model, objective=result.parts.objective.served)
        return self.portions.stopping.evaluate(parts)().score

    @property
    def doubtful(self) -> bool:
        """Whether a given teacher may have stopped on rows that judge the endings."""
        return self.options.teacher is not None and not spared_by(self.options.teacher, self.options.target)

    def given(self) -> Mapping[str, Result]:
        """Stages that are trained already: the teacher, where a bundle is one."""
        if self.options.teacher is None or TEACHER not in (one.name for one in get(self.run.recipe).stages):
            return {}
        nothing = ByScenario(self.portions.target, batch_size=1)
        return {TEACHER: taught(self.options.teacher, self.portions.everywhere.prepared, nothing)}

    def parts(self, assembly: Assembly, results: Mapping[str, Result]) -> Parts:
        """What a stage trains, its rows, and how it is validated."""
        if assembly.stage.data in ("train", "past"):
            shown = self.portions.shown if assembly.stage.data == "train" else self.portions.past
            loader, evaluate = shown.loader(assembly), self.portions.teaching.evaluate(assembly)
            return Parts(assembly.model, assembly.objective, assembly.balancer, loader, evaluate)
        training = assembly.training
        if assembly.stage.data == "transfer":
            found = self.found(results)
            chosen = self._tuned(assembly, results, found)
            return self._transfer(assembly, results, found, chosen.beta, chosen.alpha)
        if assembly.stage.data == "adversarial":
            return self._adversarial(assembly, self.found(results))
        loader = ByScenario(self.portions.target, batch_size=training.batch_size, seed=training.seed)
        return Parts(
            assembly.model, assembly.objective, assembly.balancer, loader, self.portions.stopping.evaluate(assembly)
        )

    def _transfer(
        self, assembly: Assembly, results: Mapping[str, Result], found: Found, beta: Beta, alpha: float
    ) -> Parts:
        training, objective, balancer = assembly.training, assembly.objective, assembly.balancer
        if alpha > 0:
            objective, balancer = distilled(assembly, results[TEACHER].parts, found.target, self.options, alpha)
        loader = ByScenario(found.together(beta), batch_size=training.batch_size, seed=training.seed)
        return Parts(assembly.model, objective, balancer, loader, self.portions.stopping.evaluate(assembly))

    def _adversarial(self, assembly: Assembly, found: Found) -> Parts:
        training = assembly.training
        objective, balancer = adversarial(assembly, self.portions.place, found.target, self.options.adversary)
        loader = ByScenario(found.apart(), batch_size=training.batch_size, seed=training.seed, mixed=True)
        return Parts(assembly.model, objective, balancer, loader, self.portions.stopping.evaluate(assembly))

    def _tuned(self, assembly: Assembly, results: Mapping[str, Result], found: Found) -> Tuned:
        """Beta and alpha, chosen on the validation rows that stop; what an earlier attempt chose is not tried again."""
        self.chosen = self.chosen or world().from_first(self._noted)
        if self.chosen is not None:
            return self.chosen
        beta, alpha = self.options.beta, self.options.alpha
        betas: tuple[Beta, ...] = beta if isinstance(beta, tuple) else (beta,)
        alphas = alpha if isinstance(alpha, tuple) else (alpha,)
        rows = validated(self.portions.stopping)

        def loss(beta: Beta, alpha: float) -> Any:
            mine = self._tried(assembly, results, found, beta, alpha, rows)
            return world().from_first(lambda: mine)  # several processes go on with the same choice

        self.chosen = tune(betas, alphas, loss, rows.user.numpy())
        if self.notes is not None and world().leads:
            write_text(self.notes, json.dumps(asdict(self.chosen)) + "\n")
        return self.chosen

    def _noted(self) -> Tuned | None:
        if self.notes is None or not self.notes.exists():
            return None
        plain = json.loads(self.notes.read_text(encoding="utf-8"))
        return Tuned(plain["beta"], plain["alpha"], tuple(Tried(**one) for one in plain["tried"]))

    def _tried(
        self,
        assembly: Assembly,
        results: Mapping[str, Result],
        found: Found,
        beta: Beta,
        alpha: float,
        rows: Batch,
    ) -> Float[np.ndarray, "B"]:
        """Each row's loss after a training like the stage's, from the same weights."""
        trial = assemble(self.run, found.target.layout, assembly.stage.name)
        parts = self._transfer(trial, results, found, beta, alpha)
        if assembly.stage.start == TEACHER:
            begin_from(assembly.stage, parts.model, results[TEACHER].weights("model"))
            begin_from(assembly.stage, parts.objective.served, results[TEACHER].weights("objective"))
        history = train(assembly.stage, parts.model, parts.objective, parts.balancer, parts.loader, parts.evaluate)
        return losses_of(Result(parts, history), rows)

    def found(self, results: Mapping[str, Result]) -> Found:
        """The target's rows and the candidates, looked for once."""
        if self.candidates is None:
            parts = results[TEACHER].parts
            teacher = Teacher(parts.model.eval(), parts.objective.served)
            seed = training_of(self.run).seed
            self.candidates = find(
                self.portions.windowed, self.portions.target, self.portions.unseen, teacher, self.options, seed
            )
        return self.candidates
