"""The loop: batches in, steps out. It knows no model class and no metric."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from polyrec.batch import Batch
from polyrec.data.loader import Position
from polyrec.errors import ConfigError, NotReadyError
from polyrec.objectives import Balancer, Objective
from polyrec.shapes import Tensor
from polyrec.training import checkpoint
from polyrec.training.events import Events
from polyrec.training.mask import mask_ids
from polyrec.training.optim import Optimizer
from polyrec.training.plan import Stage
from polyrec.training.progress import Bar, Log
from polyrec.training.state import Place, Running

TELL = 50  # steps between events and looks at the losses


class Evaluation(NamedTuple):
    """A validation: the number to stop on (higher is better; None where undefined), and the cells behind it."""

    score: float | None
    cells: Mapping[str, float]


class Batches(Protocol):
    """What the loop needs of a loader."""

    @property
    def rows(self) -> int:
        """Rows in an epoch."""
        ...

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, number: int, start: Position) -> Iterator[tuple[Position, Batch]]:
        """Batches from `start` on, each with the position after it."""
        ...


@dataclass(frozen=True, slots=True)
class History:
    """How a stage went."""

    steps: int
    rows: int
    seconds: float
    best_step: int
    best_score: float | None
    stopped_early: bool
    validations: Sequence[Mapping[str, Any]] = field(default_factory=list)


def train(
    stage: Stage,
    model: nn.Module,
    objective: Objective,
    balancer: Balancer,
    loader: Batches,
    evaluate: Callable[[], Evaluation],
    *,
    folder: Path | None = None,
    resume: bool = False,
    log: Log | None = None,
) -> History:
    """Run a stage, and leave the model with the weights of its best validation.

    Args:
        stage: budget and trainable parameters.
        model: answers a batch.
        objective: terms of the loss.
        balancer: how terms become gradients.
        loader: the rows.
        evaluate: validates the model as it is.
        folder: gets events.jsonl and checkpoints/; without it nothing is kept.
        resume: go on from the newest checkpoint in `folder`.
        log: told of each validation.

    Raises:
        ConfigError: the loss stopped being a number, or the device is not there.
        NotReadyError: a checkpoint cannot be read or written.
    """
    return _Training(stage, model, objective, balancer, loader, evaluate, folder, log).run(resume)


class _Training:
    def __init__(
        self,
        stage: Stage,
        model: nn.Module,
        objective: Objective,
        balancer: Balancer,
        loader: Batches,
        evaluate: Callable[[], Evaluation],
        folder: Path | None,
        log: Log | None,
    ) -> None:
        self.stage, self.config = stage, stage.training
        self.device = device_of(self.config.device)
        stage.freeze(model)
        self.model, self.objective, self.balancer = (one.to(self.device) for one in (model, objective, balancer))
        self.loader, self.evaluate, self.folder, self.log = loader, evaluate, folder, log
        parts: dict[str, nn.Module] = {"model": self.model, "objective": self.objective, "balancer": self.balancer}
        optimizer = Optimizer(parts, self.config, loader.steps * self.config.epochs)
        self.running = Running(parts, optimizer, Place(stage.name))
        self.moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.sums: dict[str, Tensor] = {}
        self.summed = 0
        self.due = evaluation_steps(loader.steps, self.config.evaluations)
        self.saved_at = time.monotonic()

    @property
    def place(self) -> Place:
        return self.running.place

    def run(self, resume: bool) -> History:
        self._begin(resume)
        with Bar(self.log, self.loader.steps * self.config.epochs, self.place.step) as self.bar:
            try:
                stopped = self._epochs()
            except KeyboardInterrupt:
                self._save()
                raise
        self.running.take_best()
        self.model.eval()
        best, place = self.running.best, self.place
        return History(
            place.step, place.rows, place.seconds, best.step, best.score, stopped, tuple(self.running.validations)
        )

    def _begin(self, resume: bool) -> None:
        found = checkpoint.latest(self.folder / "checkpoints") if resume and self.folder else None
        if found is not None:
            if found.values["place"]["stage"] != self.stage.name:
                raise NotReadyError(f"the checkpoint is of stage {found.values['place']['stage']!r}. Start anew.")
            self.running.restore(found)
        step = self.place.step if found is not None else None
        self.events = Events(self.folder / "events.jsonl", step) if self.folder is not None else None

    def _epochs(self) -> bool:
        """Train until the budget or the patience ends; whether it was the patience."""
        while self.place.epoch < self.config.epochs:
            if self._patience_ended() or self._epoch():
                return True
            place = self.place
            place.epoch, place.window, place.batch, place.epoch_step = place.epoch + 1, 0, 0, 0
        return False

    def _epoch(self) -> bool:
        place = self.place
        batches = self.loader.epoch(place.epoch, Position(place.window, place.batch))
        self.model.train()
        self.started, self.rows_before = time.monotonic(), place.rows
        seconds = place.seconds
        for after, batch in batches:
            self._step(batch)
            place.window, place.batch = after.window, after.batch
            place.step, place.epoch_step, place.rows = place.step + 1, place.epoch_step + 1, place.rows + len(batch)
            place.seconds = seconds + time.monotonic() - self.started
            if place.step % TELL == 0:
                self._tell()
            if place.epoch_step in self.due:
                self._validate()
                if self._patience_ended():
                    return True
            if self._save_due():
                self._save()
        return False

    def _step(self, batch: Batch) -> None:
        config, place = self.config, self.place
        batch = mask_ids(batch.to(self.device), config.mask_ids, (config.seed, place.step))
        terms = self.objective(self.model(batch), batch)
        self.balancer.backward(terms, self.moving)
        self.running.optimizer.step(place.step)
        for name, term in terms.items():
            known = self.sums.get(name)
            self.sums[name] = term.detach() if known is None else known + term.detach()
        self.summed += 1

    def _tell(self) -> dict[str, float]:
        """Mean losses since last told; refuses what is not a number."""
        place = self.place
        means = {name: float(total) / max(self.summed, 1) for name, total in self.sums.items()}
        self.sums, self.summed = {}, 0
        for name, value in means.items():
            if not math.isfinite(value):
                raise ConfigError(
                    f"the loss of term {name!r} is {value} at step {place.step}. Lower training.lr "
                    f"(now {self.config.lr:g}) or training.table_lr (now {self.config.table_lr:g}), or set "
                    "training.clip; `polyrec inspect` names columns with extreme values."
                )
        rate = (place.rows - self.rows_before) / max(time.monotonic() - self.started, 1e-9)
        self.bar.move(place.step, place.epoch, self.config.epochs, rate, means)
        self._event("step", losses=means, rows_per_second=round(rate), weights=self.balancer.weights())
        return means

    def _validate(self) -> None:
        running, place = self.running, self.place
        if self.summed:
            self._tell()
        found = self.evaluate()
        self.model.train()
        best = running.best
        better = found.score is not None and (best.score is None or found.score > best.score)
        if better or best.score is None:
            best.score, best.step, best.waited = found.score, place.step, 0
            running.keep_best()
        else:
            best.waited += 1
        line = {"step": place.step, "epoch": place.epoch, "score": found.score, "cells": dict(found.cells)}
        running.validations.append(line)
        self._event("evaluation", score=found.score, cells=dict(found.cells), best=better)
        shown = "undefined" if found.score is None else f"{found.score:.4f}"
        words = "the best so far" if better else f"best {best.score:.4f} at step {best.step}" if best.score else ""
        self.bar.note(
            f"epoch {place.epoch + 1}, step {place.step:,}: validation {shown} ({words}), "
            f"{place.rows / max(place.seconds, 1e-9):,.0f} rows/s"
        )

    def _patience_ended(self) -> bool:
        return self.running.best.waited >= self.config.patience

    def _save_due(self) -> bool:
        if self.folder is None:
            return False
        by_step = self.config.checkpoint_steps is not None and self.place.step % self.config.checkpoint_steps == 0
        return by_step or time.monotonic() - self.saved_at > 60 * self.config.checkpoint_minutes

    def _save(self) -> None:
        if self.folder is not None:
            checkpoint.save(self.folder / "checkpoints", self.place.step, self.running.checkpoint())
            self.saved_at = time.monotonic()

    def _event(self, kind: str, **values: Any) -> None:
        if self.events is not None:
            place = self.place
            self.events.add(
                kind, stage=place.stage, epoch=place.epoch, step=place.step, total_step=place.step, **values
            )


def evaluation_steps(steps: int, evaluations: int) -> frozenset[int]:
    """After which steps of an epoch to validate: evenly spread, the last one at its end.

    Example:
        >>> sorted(evaluation_steps(10, 3))
        [3, 7, 10]
    """
    return frozenset(max(1, round(steps * part / evaluations)) for part in range(1, evaluations + 1))


def device_of(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ConfigError: no such device here.
    """
    known = ["cpu", *(f"cuda:{place}" for place in range(torch.cuda.device_count()))]
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in known:
        raise ConfigError(f"training.device = {name!r} is not here. Known: {', '.join(known)}. Use --device cpu.")
    return torch.device(wanted)
