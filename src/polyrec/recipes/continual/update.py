"""`polyrec update`: period after period, judged, checked, learned from, and kept as one whole generation."""

from collections.abc import Sequence
from pathlib import Path

import torch

from polyrec.config import TrainingConfig
from polyrec.declare import parse
from polyrec.progress import Progress
from polyrec.recipes.continual.begin import begin
from polyrec.recipes.continual.course import Options
from polyrec.recipes.continual.folder import ContinualFolder
from polyrec.recipes.continual.periods import periods
from polyrec.recipes.continual.state import State
from polyrec.recipes.continual.step import Step
from polyrec.recipes.folder import RunFolder
from polyrec.training.progress import Log


def update(
    folder: str | Path,
    data: Sequence[str],
    out: str | Path | None = None,
    *,
    every: str | None = None,
    options: Options | None = None,
    log: Log | None = None,
    progress: Progress | None = None,
) -> ContinualFolder:
    """Go on with a finished fit: for each new period, judge the model that stands on it, then train on it.

    A period that is trained on becomes one whole generation of `out`; whatever ends the process, the last one stands,
    and the same call goes on after it. Periods that `out` has learned from already, by their files, are passed over.

    Args:
        folder: what `fit` wrote, or what an earlier `update` wrote.
        data: files or patterns, each a period.
        out: the folder of generations; `folder` itself where that is one.
        every: cut all rows into periods of time instead.
        options: how they are learned from.
        log: told what is going on, a line at a time.
        progress: told how many rows are read.

    Raises:
        DataError: a bad period, in words; nothing was learned from it.
        ConfigError: `out` goes on with another run.
    """
    options = options or Options()
    found = ContinualFolder.between(Path(folder), out)
    with found.held():
        run = found.claim(Path(folder))
        threads = parse(TrainingConfig, run.training, "[training]").threads
        if threads is not None:
            torch.set_num_threads(threads)
        store = found.generations(options.keep)
        if store.current is None:
            begin(run, RunFolder(Path(folder)).finished(), found, options, log, progress)
        assert store.current is not None
        state = State.load(run, store.current)
        found.refresh(state)
        for period in periods(data, state.schema, every, log):
            state = Step(state, period, found, options, log, progress).run()
    return found


def rollback(folder: str | Path, to: int | None = None) -> ContinualFolder:
    """Make an earlier generation the one that stands; without `to`, the one before.

    Raises:
        NotReadyError: it is not there (any more).
    """
    found = ContinualFolder(Path(folder)).finished()
    with found.held():
        store = found.generations(2)
        assert store.current is not None
        number = int(store.current.name) - 1 if to is None else to
        path = store.go_back(number)
        found.forget(number)
        found.tell("rolled back", generation=number)
        found.refresh(State.load(found.config(), path))
    return found
