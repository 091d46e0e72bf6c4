"""One run from its run file to a folder with a report and a bundle."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch

from polyrec.atomic import write_text
from polyrec.config import RunConfig, TrainingConfig
from polyrec.distributed import world
from polyrec.nn.sharded import parameter_count, sharding
from polyrec.progress import Progress
from polyrec.recipes import outcome
from polyrec.recipes.assemble import Assembly, assemble, plan_of, resolve, training_of
from polyrec.recipes.folder import RunFolder
from polyrec.recipes.prepare import Prepared, prepare
from polyrec.recipes.recipe import Recipe, get
from polyrec.recipes.rows import Rows
from polyrec.recipes.taught import keep_teacher, vocabulary_of
from polyrec.recipes.transferring import TEACHER, Transfer
from polyrec.training import History, Parts, Stage
from polyrec.training import run as run_plan
from polyrec.training.events import Events, read
from polyrec.training.progress import Log
from polyrec.training.run import Result


def fit(
    run: RunConfig,
    out: str | Path,
    *,
    resume: bool = False,
    log: Log | None = None,
    progress: Progress | None = None,
    prepared: Prepared | None = None,
    vocabulary: Path | None = None,
    only_validate: bool = False,
) -> RunFolder:
    """Train the run's recipe and leave report, page, test scores and bundle in `out`.

    Args:
        run: what to train; see `RunConfig.load`.
        out: a folder that is new or empty, or holds this very run when `resume` is set.
        resume: go on from the last checkpoint; a finished run is left as it is.
        log: told of each validation, a line at a time.
        progress: told how many rows are read and scored, before and after training.
            Several processes (see `distributed`) call this alike; the folder must lie where all of them see it.
        prepared: rows prepared already, for several recipes on the same data.
        vocabulary: where that of these very training rows lies, if something else has fitted it.
        only_validate: stop after training and leave validation.json: no test row is scored. For searches.

    Raises:
        PolyrecError: bad input, told in words; nothing finished is left behind then.

    Example:
        ```python
        folder = fit(RunConfig.load("run.toml"), "runs/mmoe")
        print(Report.load(folder.report).table())
        ```
    """
    training = training_of(run)
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    with sharding(training.shard_rows):
        return _fit(run, Path(out), training, resume, log, progress, prepared, vocabulary, only_validate)


def _fit(
    run: RunConfig,
    out: Path,
    training: TrainingConfig,
    resume: bool,
    log: Log | None,
    progress: Progress | None,
    prepared: Prepared | None,
    vocabulary: Path | None,
    only_validate: bool,
) -> RunFolder:
    folder = RunFolder(out)
    whole = resolve(run)
    here = world()
    here.from_first(lambda: folder.check(whole, resume))
    if here.from_first(lambda: folder.has_ended(only_validate=only_validate)):
        return folder
    told = prepared is not None  # by who prepared it
    # Bad rows and options are refused before anything is written.
    known = fitted(run, folder) or vocabulary or folder.vocabulary
    prepared = prepared or here.from_first(lambda: prepare(run.data, known, progress))
    plan, rows = plan_of(run), Rows(run, prepared)
    recipe = get(run.recipe)
    notes = folder.path / "tuned.json"
    transfer = Transfer.of(run, prepared, notes) if recipe.transfer_options is not None else None
    given = transfer.given() if transfer is not None else {}
    judged = transfer.portions.rows if transfer is not None else rows
    assemblies = {stage.name: assemble(run, prepared.encoder.layout, stage.name) for stage in plan.stages}

    def claim() -> None:
        folder.check(whole, resume)  # nobody has begun in it meanwhile
        folder.claim(whole, prepared.about())
        prepared.keep(folder.vocabulary)
        _warn(prepared, folder, log, notes=not told)

    with folder.held() if here.leads else nullcontext():
        here.from_first(claim)

        def build(stage: Stage, results: Mapping[str, Result]) -> Parts:
            assembly = assemblies[stage.name]
            return _parts(rows, assembly) if transfer is None else transfer.parts(assembly, results)

        results = run_plan(plan, build, folder=folder.path, resume=resume, log=log, given=given)
        left = _left(transfer, recipe, assemblies, results, folder, log)
        if transfer is not None and TEACHER in assemblies and not given:
            _leave_teacher(folder, assemblies[TEACHER], prepared, transfer)
        run_facts = {**_told([one.history for one in results.values()]), "seed": training.seed}
        if here.leads:
            _validated(folder, left, run_facts)
        if only_validate:
            return folder
        bundle = outcome.bundled(prepared, left.assembly)
        collected = outcome.scored(judged, bundle, progress)
        trained_on: Mapping[str, Any] = {}
        if transfer is not None:
            left.extra["transfer"] |= transfer.over_time(results, {left.stage: collected})
            trained_on = transfer.trained_on(left.stage)
        outcome.keep(folder, judged, left.assembly, bundle, collected, run_facts, left.extra, trained_on)
    return folder


def fitted(run: RunConfig, folder: RunFolder) -> Path | None:
    """Where the run has its vocabulary already: its own, once it has begun, else that of the teacher it is given."""
    return folder.vocabulary if folder.vocabulary.exists() else vocabulary_of(run.transfer)


class _Left(NamedTuple):
    """What a run leaves: the stage that is kept, its assembly and validation score, and more for the report."""

    stage: str
    assembly: Assembly
    score: float | None
    extra: dict[str, Any]


def _left(
    transfer: Transfer | None,
    recipe: Recipe,
    assemblies: Mapping[str, Assembly],
    results: Mapping[str, Result],
    folder: RunFolder,
    log: Log | None,
) -> _Left:
    """The last stage, or of several endings of a transfer the one that is kept, with what is told of all."""
    last = recipe.stages[-1].name
    if transfer is None:
        return _Left(last, assemblies[last], results[last].history.best_score, {})
    kept, endings = transfer.endings(recipe, results)
    told = transfer.told(endings, kept, read(folder.events))
    if log is not None and endings:
        log(f"{told['verdict']}.")
    assembly, score = transfer.left(kept, assemblies[kept], results), transfer.score(kept, assemblies[last], results)
    return _Left(kept, assembly, score, {"transfer": told})


def _leave_teacher(folder: RunFolder, teacher: Assembly, prepared: Prepared, transfer: Transfer) -> None:
    held = transfer.portions.told()
    world().from_first(lambda: keep_teacher(folder.path / TEACHER, teacher, prepared, held))


def _validated(folder: RunFolder, left: _Left, run: Mapping[str, Any]) -> None:
    """What the weights that were kept are worth on the validation rows."""
    told = {"score": left.score, **run, "parameters": parameter_count(left.assembly.model)}
    write_text(folder.validation, json.dumps(told, allow_nan=False, indent=1) + "\n")


def _warn(prepared: Prepared, folder: RunFolder, log: Log | None, *, notes: bool) -> None:
    """Say how the rows were split, and what is odd about them: at every attempt, and once in the events."""
    if log is not None and notes:
        for note in prepared.splits.notes:
            log(note)
    new = not folder.events.exists()
    for warning in prepared.warnings:
        if log is not None:
            log(f"warning: {warning}.")
        if new:
            Events(folder.events).add("warning", text=warning)


def _told(histories: Sequence[History]) -> dict[str, Any]:
    """How training went, for the report: counts over all stages, the stop of the last one."""
    last, seconds = histories[-1], sum(one.seconds for one in histories)
    return {
        "seconds": round(sum(one.taken for one in histories), 3),
        "rows_per_second": round(sum(one.rows for one in histories) / max(seconds, 1e-9)),
        "steps": sum(one.steps for one in histories),
        "best_step": sum(one.steps for one in histories[:-1]) + last.best_step,
        "stopped_early": last.stopped_early,
    }


def _parts(rows: Rows, assembly: Assembly) -> Parts:
    """What a stage trains, its rows, and how it is validated."""
    return Parts(assembly.model, assembly.objective, assembly.balancer, rows.loader(assembly), rows.evaluate(assembly))
