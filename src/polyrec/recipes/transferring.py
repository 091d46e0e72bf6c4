"""Recipes for one target scenario: rows of the others transferred to it, a teacher behind it, a guard over it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from polyrec.atomic import write_text
from polyrec.batch import Batch
from polyrec.config import RunConfig, TransferConfig
from polyrec.data.files import Source
from polyrec.data.held import ByScenario, join
from polyrec.data.where import Between, Both, Named, Not, Share, Where
from polyrec.declare import parse
from polyrec.errors import ConfigError, DataError, unknown
from polyrec.objectives import balance
from polyrec.objectives.adversarial import Adversarial
from polyrec.objectives.distill import Distilled
from polyrec.recipes.assemble import Assembly, assemble, training_of
from polyrec.recipes.endings import Ending, endings, kept, losses_of, verdict
from polyrec.recipes.outcome import period_of
from polyrec.recipes.prepare import Prepared
from polyrec.recipes.recipe import Recipe, get
from polyrec.recipes.rows import Rows
from polyrec.recipes.taught import held_by, taught
from polyrec.recipes.tuning import Beta, Tried, Tuned, tune
from polyrec.recipes.window import last_periods
from polyrec.training import Parts, train
from polyrec.training.plan import begin_from
from polyrec.training.run import Result
from polyrec.transfer.candidates import Found, Teacher, find, target_rows

TEACHER = "teacher"
HALVES, HELD = 7_041, 7_042  # seeds: of the halves of the validation rows, of users kept from the teacher


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
        return cls(run, Rows(run, prepared), options, notes)

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

    @cached_property
    def guarded(self) -> bool:
        """Whether several endings are tried, so that rows are needed that stopped none of them."""
        return any(stage.candidate for stage in get(self.run.recipe).stages)

    @cached_property
    def stopping(self) -> Rows:
        """Validated on the target's validation rows that stop and tune: half of their users where there is a guard."""
        return self._half(0) if self.guarded else self.rows

    @cached_property
    def judging(self) -> Batch:
        """The target's validation rows that judge the endings: the other half of the users."""
        return _held(self._half(1))

    def told(self, found: Sequence[Ending], kept: str, events: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """For the report: how rows were found, what was tuned, how each ending did, which was kept and why."""
        told: dict[str, Any] = {"rows": len(self.target)} if self.candidates is None else dict(self.candidates.told)
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
            told["verdict"] = verdict(found, kept, len(self.judging))
        return {**told, "target": self.options.target, "endings": [asdict(one) for one in found], "kept": kept}

    def endings(self, recipe: Recipe, results: Mapping[str, Result]) -> tuple[str, tuple[Ending, ...]]:
        """Which of several endings is kept, and how each did on rows that stopped and tuned none."""
        names = [stage.name for stage in recipe.stages if stage.candidate]
        if not names:
            return recipe.stages[-1].name, ()
        found = endings(results, names, self.judging)
        return kept(found, self.options.margin), found

    def given(self) -> Mapping[str, Result]:
        """Stages that are trained already: the teacher, where a bundle is one."""
        if self.options.teacher is None or TEACHER not in (one.name for one in get(self.run.recipe).stages):
            return {}
        nothing = ByScenario(self.target, batch_size=1)
        return {TEACHER: taught(self.options.teacher, self.everywhere.prepared, nothing)}

    def _half(self, place: int) -> Rows:
        prepared = self.rows.prepared
        valid, user = prepared.splits.valid, prepared.schema.keys.user
        mine = Share(place / 2, (place + 1) / 2, HALVES, user)
        found = valid.filtered(mine if valid.where is None else Both(valid.where, mine))
        if not found.rows():
            raise DataError(
                f"the {valid.rows():,} validation rows of the target {self.options.target!r} are of too few users to "
                "be halved: one half stops and tunes, the other judges. Give more of them."
            )
        return Rows(self.run, replace(prepared, splits=replace(prepared.splits, valid=found)))

    @property
    def _place(self) -> int:
        return self.everywhere.prepared.encoder.layout.scenarios.index(self.options.target)

    def parts(self, assembly: Assembly, results: Mapping[str, Result]) -> Parts:
        """What a stage trains, its rows, and how it is validated."""
        if assembly.stage.data in ("train", "past"):
            shown = self._shown if assembly.stage.data == "train" else self._past
            loader, evaluate = shown.loader(assembly), self._without_judging.evaluate(assembly)
            return Parts(assembly.model, assembly.objective, assembly.balancer, loader, evaluate)
        training = assembly.training
        if assembly.stage.data == "transfer":
            found = self.found(results)
            chosen = self._tuned(assembly, results, found)
            return self._transfer(assembly, results, found, chosen.beta, chosen.alpha)
        if assembly.stage.data == "adversarial":
            return self._adversarial(assembly, self.found(results))
        loader = ByScenario(self.target, batch_size=training.batch_size, seed=training.seed)
        return Parts(assembly.model, assembly.objective, assembly.balancer, loader, self.stopping.evaluate(assembly))

    def _transfer(
        self, assembly: Assembly, results: Mapping[str, Result], found: Found, beta: Beta, alpha: float
    ) -> Parts:
        training, objective, balancer = assembly.training, assembly.objective, assembly.balancer
        if alpha > 0:
            objective = self._distilled(assembly, results[TEACHER], found, alpha)
            balancer = balance.build("fixed", objective.terms)
        loader = ByScenario(found.together(beta), batch_size=training.batch_size, seed=training.seed)
        return Parts(assembly.model, objective, balancer, loader, self.stopping.evaluate(assembly))

    def _adversarial(self, assembly: Assembly, found: Found) -> Parts:
        training, rows = assembly.training, found.apart()
        few = found.target.select(torch.arange(min(2, len(found.target))))
        with torch.no_grad():
            name, state = next(iter(assembly.model.eval()(few).hidden.items()))
        strength = self.options.adversary
        objective = Adversarial(assembly.objective, self._place, (name, state.shape[-1]), strength=strength)
        loader = ByScenario(rows, batch_size=training.batch_size, seed=training.seed, mixed=True)
        balancer = balance.build("fixed", objective.terms)
        return Parts(assembly.model, objective, balancer, loader, self.stopping.evaluate(assembly))

    def _tuned(self, assembly: Assembly, results: Mapping[str, Result], found: Found) -> Tuned:
        """Beta and alpha, chosen on the validation rows that stop; what an earlier attempt chose is not tried again."""
        if self.chosen is not None:
            return self.chosen
        beta, alpha = self.options.beta, self.options.alpha
        betas: tuple[Beta, ...] = beta if isinstance(beta, tuple) else (beta,)
        alphas = alpha if isinstance(alpha, tuple) else (alpha,)
        if self.notes is not None and self.notes.exists():
            plain = json.loads(self.notes.read_text(encoding="utf-8"))
            self.chosen = Tuned(plain["beta"], plain["alpha"], tuple(Tried(**one) for one in plain["tried"]))
            return self.chosen
        rows = _held(self.stopping)

        def loss(beta: Beta, alpha: float) -> Any:
            """A training like the stage's, from the same weights."""
            trial = assemble(self.run, found.target.layout, assembly.stage.name)
            parts = self._transfer(trial, results, found, beta, alpha)
            if assembly.stage.start == TEACHER:
                begin_from(assembly.stage, parts.model, results[TEACHER].weights("model"))
                begin_from(assembly.stage, parts.objective.served, results[TEACHER].weights("objective"))
            history = train(assembly.stage, parts.model, parts.objective, parts.balancer, parts.loader, parts.evaluate)
            return losses_of(Result(parts, history), rows)

        self.chosen = tune(betas, alphas, loss, rows.user.numpy())
        if self.notes is not None:
            write_text(self.notes, json.dumps(asdict(self.chosen)) + "\n")
        return self.chosen

    def found(self, results: Mapping[str, Result]) -> Found:
        """The target's rows and the candidates, looked for once."""
        if self.candidates is None:
            parts = results[TEACHER].parts
            teacher = Teacher(parts.model.eval(), parts.objective.served)
            seed = training_of(self.run).seed
            self.candidates = find(self._windowed, self.target, self._unseen, teacher, self.options, seed)
        return self.candidates

    @cached_property
    def target(self) -> Batch:
        """The target's training rows."""
        return target_rows(self._batches, self._place, self.options.target)

    def _batches(self) -> Iterable[Batch]:
        return self.everywhere.batches(self.everywhere.prepared.splits.train)

    @cached_property
    def held(self) -> float:
        """Share of the target's users whose training rows the teacher does not see."""
        if self.options.teacher is not None:
            return held_by(self.options.teacher, self.options.target)
        transfers = any(stage.data == "transfer" for stage in get(self.run.recipe).stages)
        return self.options.held if transfers and self.options.relation else 0.0

    def told_held(self) -> dict[str, Any]:
        """For the teacher's manifest: which of the target's training rows it was not shown."""
        return {"scenario": self.options.target, "share": self.held}

    @property
    def _apart(self) -> Where:
        """The target's rows that the teacher is not shown."""
        keys = self.everywhere.prepared.schema.keys
        return Both(Named(keys.scenario, (self.options.target,)), Share(0.0, self.held, HELD, keys.user))

    @cached_property
    def _shown(self) -> Rows:
        """All scenarios' training rows that the teacher learns from."""
        return self.everywhere if self.held == 0 else self._trained(Not(self._apart))

    @property
    def _past(self) -> Rows:
        """Of those, the rows of the first half of the training time."""
        prepared = self.everywhere.prepared
        period = period_of(prepared).get("period", {"from": None, "to": None})
        first, last = period["from"], period["to"]
        if not isinstance(first, int | float) or not isinstance(last, int | float):
            raise ConfigError(
                f"recipe {self.run.recipe!r} halves the training time: it needs [keys] time, a column of numbers."
            )
        early = Between(str(prepared.schema.keys.time), None, (first + last) / 2)
        return self._trained(early if self.held == 0 else Both(early, Not(self._apart)))

    @cached_property
    def _unseen(self) -> Batch:
        """The target's rows that the teacher did not learn from, and no ending is judged on."""
        rows = _held(self.stopping)
        if self.held == 0:
            return rows
        apart = self._trained(self._apart)
        source = apart.prepared.splits.train
        return join([rows, *apart.batches(source)]) if source.rows() else rows

    def _trained(self, where: Where) -> Rows:
        prepared = self.everywhere.prepared
        train = prepared.splits.train
        found = train.filtered(where if train.where is None else Both(train.where, where))
        return Rows(self.run, replace(prepared, splits=replace(prepared.splits, train=found)))

    @cached_property
    def _without_judging(self) -> Rows:
        """All scenarios, without the target's validation rows that judge: the teacher's end must not know them."""
        if not self.guarded:
            return self.everywhere
        prepared = self.everywhere.prepared
        valid, keys = prepared.splits.valid, prepared.schema.keys
        rest = Not(Both(Named(keys.scenario, (self.options.target,)), Share(0.5, 1.0, HALVES, keys.user)))
        found = valid.filtered(rest if valid.where is None else Both(valid.where, rest))
        return Rows(self.run, replace(prepared, splits=replace(prepared.splits, valid=found)))

    @cached_property
    def _window(self) -> Source:
        prepared, options = self.everywhere.prepared, self.options
        if options.window is None:
            return prepared.splits.train
        return last_periods(prepared.splits.train, prepared.schema.keys.time, options.window, options.period)

    def _windowed(self) -> Iterable[Batch]:
        return self.everywhere.batches(self._window)

    def _distilled(self, assembly: Assembly, teacher: Result, found: Found, alpha: float) -> Distilled:
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
            alpha=alpha,
            temperature=self.options.temperature,
            adaptive=self.options.adaptive,
        )


def _held(rows: Rows) -> Batch:
    return join(list(rows.batches(rows.prepared.splits.valid)))
