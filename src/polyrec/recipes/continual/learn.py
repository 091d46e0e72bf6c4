"""One period's training: the state that stands, its optimizer warm, on new rows and on some of earlier ones."""

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from polyrec.data.files import Source
from polyrec.data.held import ByScenario
from polyrec.data.replay import Replayed
from polyrec.data.split import Splits
from polyrec.errors import ConfigError
from polyrec.recipes.continual.course import Course, Options
from polyrec.recipes.continual.folder import ContinualFolder
from polyrec.recipes.continual.rows import stored
from polyrec.recipes.continual.state import State
from polyrec.recipes.continual.student import target_of, taught
from polyrec.recipes.prepare import Prepared
from polyrec.recipes.rows import Rows
from polyrec.training.progress import Log
from polyrec.training.spread import Batches


def learn(
    state: State,
    rows: Source,
    number: int,
    about: Mapping[str, Any],
    options: Options,
    out: ContinualFolder,
    log: Log | None,
) -> tuple[State, int]:
    """One period's training, which a killed attempt goes on with; the state after it and how many rows it read.

    `about`: what the rows are; an attempt on others, or on the same with other labels, is begun anew.
    """
    key = json.dumps([about, options.epochs, options.replay, dict(options.training)], sort_keys=True)
    working = out.working(f"{number:06d}-{blake2b(key.encode(), digest_size=6).hexdigest()}")
    course = Course(options, number, working, log)
    if state.teacher is not None:
        if options.replay:
            raise ConfigError(
                f"replay is for recipes that learn from rows as they come: {state.run.recipe!r} does not."
            )
        return taught(state, rows, course)
    parts = state.learner.assembly
    prepared = Prepared(state.schema, Splits(rows, rows, None), state.encoder)
    training = course.training(parts.training)
    parts = replace(parts, stage=replace(parts.stage, training=training))
    everywhere = Rows(state.run, prepared)
    if parts.stage.data == "target":
        target = target_of(state, everywhere, rows)
        loader: Batches = ByScenario(target, batch_size=training.batch_size, seed=training.seed)
    else:
        loader = everywhere.loader(parts)
    if options.replay:
        if parts.stage.data != "train":
            raise ConfigError(f"replay is for recipes that learn from rows as they come, not from {parts.stage.data}.")
        earlier = stored(state, out, number)
        loader = Replayed(loader, earlier, share=options.replay, seed=training.seed)  # type: ignore[arg-type]
    learner, read = course.train(state.learner, loader)
    return replace(state, learner=learner), read
