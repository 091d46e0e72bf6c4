"""Generation 0: a finished fit, as what goes on."""

from dataclasses import replace
from typing import Any

from polyrec.artifact.manifest import Manifest
from polyrec.config import RunConfig
from polyrec.data.profile import LONG, Profile
from polyrec.data.split import split
from polyrec.data.stretches import stretches
from polyrec.evaluation.report import Report
from polyrec.progress import Progress
from polyrec.recipes import outcome
from polyrec.recipes.continual.course import Options
from polyrec.recipes.continual.folder import ContinualFolder
from polyrec.recipes.continual.guards import stray
from polyrec.recipes.continual.judge import cells, remembered
from polyrec.recipes.continual.rows import held_out, known_again, learned_from, of_target, sample
from polyrec.recipes.continual.state import State
from polyrec.recipes.folder import RunFolder
from polyrec.recipes.prepare import Prepared
from polyrec.training.progress import Log
from polyrec.training.seed import derive


def begin(
    run: RunConfig,
    folder: RunFolder,
    out: ContinualFolder,
    options: Options,
    log: Log | None = None,
    progress: Progress | None = None,
) -> None:
    """Make a finished fit the first generation of `out`.

    Its test rows may be given as a period later. Of them those are kept to see what is forgotten that no period will
    ever train on, by what they are; none where nothing tells rows.
    """
    state, report = State.of_run(run, folder), Report.load(folder.report)
    splits = split(run.data, state.schema)
    judged = splits.test or splits.valid
    train_rows, test = learned_from(state, splits.train), of_target(run, judged, state.schema)
    encoder = state.bundle(shared=True).encoder
    profile, unseen = (
        Profile.of(one, encoder, None, progress, sketch=LONG) for one in (train_rows, learned_from(state, judged))
    )
    moving = stretches(train_rows, encoder, profile, progress)
    # How much is usually unknown is told by rows that the vocabulary was not made from. They may be learned from later.
    unseen = replace(unseen, digest="", sketch=())
    profile = replace(profile, unknown=unseen.unknown)
    replayed = train_rows if state.teacher is None else None
    sample(replayed, state, out.sample("replay", 0), derive(0, "fit"))
    hold = options.hold if known_again(state.schema) else 0.0
    held = held_out(test, hold, state.schema, state.drawn) if hold else None
    sample(held, state, out.sample("held", 0), derive(1, "fit"))
    notes = stray(profile, train_rows, state.schema)
    for note in notes:
        if log is not None:
            log(f"warning: the fit: {note}.")
    line: dict[str, Any] = {
        "generation": 0,
        "name": "the fit",
        "rows": profile.rows,
        "trained": profile.rows,
        "time": profile.time,
    }
    line |= {"cells": cells(report), "seconds": {"train": report.run.get("seconds")}}
    line |= {"hold": hold, "notes": notes}
    line["held"] = remembered(state, out, 0)
    state = replace(state, history=(line,), profiles=(profile, unseen), stretches=moving)
    manifest = Manifest.read(folder.bundle)
    trained_on = {"rows": {"train": profile.rows}, "generation": 0, **outcome.longer(manifest.trained_on, {})}
    told = {"trained_on": trained_on}
    golden = outcome.golden(test, Prepared(state.schema, splits, state.encoder))
    out.generations(options.keep).publish(lambda path: state.save(path, golden, told, report.to_json()))
