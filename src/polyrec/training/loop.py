"""The loop: batches in, steps out. It knows no model class and no metric."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polyrec.allocator import keep_freed
from polyrec.batch import Batch
from polyrec.data.loader import Position
from polyrec.distributed import world
from polyrec.errors import ConfigError
from polyrec.nn.sharded import sharded
from polyrec.objectives import Balancer, Objective
from polyrec.objectives.start import begin
from polyrec.shapes import Tensor
from polyrec.training.average import Average
from polyrec.training.device import device
from polyrec.training.events import Events
from polyrec.training.history import Evaluation, History
from polyrec.training.interrupt import Interrupt, Interrupted
from polyrec.training.mask import mask_ids
from polyrec.training.optim import Optimizer
from polyrec.training.pace import Paced
from polyrec.training.plan import Stage
from polyrec.training.progress import Bar, Log
from polyrec.training.reduce import Reduce
from polyrec.training.schedule import evaluation_steps
from polyrec.training.seed import derive
from polyrec.training.shards import Shards
from polyrec.training.spread import Batches, Sliced, Spread
from polyrec.training.state import Best, Place, Running

TELL = 50  # steps between events, and between looks at whether the losses are numbers


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
    snapshots: Sequence[int] = (),
    warm: Mapping[str, Tensor] | None = None,
) -> History:
    """Run a stage, and leave the model with the weights of its best validation (or the last, as the stage says).

    Args:
        stage: budget and trainable parameters.
        model: answers a batch.
        objective: terms of the loss.
        balancer: how terms become gradients.
        loader: the rows.
        evaluate: validates the model as it is.
        folder: gets events.jsonl and checkpoints/; without it nothing is kept.
        resume: go on from the stage's checkpoint in `folder`, if there is one; to weights that are the same
            bit by bit, on one thread, as if nothing had happened.
        log: told of each validation.
        snapshots: epochs whose first weights are kept, in checkpoints too.
        warm: the optimizer's state to begin with, as an earlier stage of the same parts left it.

    Raises:
        ConfigError: a loss stopped being a number, or the device is not there.
        DataError: the checkpoint is damaged, or of another model.
        NotReadyError: a checkpoint cannot be written.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint has been written.
    """
    return _Loop(stage, model, objective, balancer, loader, evaluate, folder, log).run(resume, snapshots, warm)


class _Loop:
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
        self.device = device(self.config.device)
        keep_freed()
        if self.config.threads is not None:
            torch.set_num_threads(self.config.threads)
        stage.freeze(model)
        self.model = model.to(self.device)
        self.objective = objective.to(self.device)
        self.balancer = balancer.to(self.device)
        self.world = world()
        whole = self.world.alone or getattr(loader, "part", None) is self.world
        self.loader: Batches = loader if whole else Sliced(loader, self.world)
        self.spread = Spread(self.world, self.device.type if self.config.precision == "bf16" else None)
        self.evaluate, self.log = evaluate, log if self.world.leads else None
        self.planned = loader.steps * self.config.epochs
        parts = {"model": self.model, "objective": self.objective, "balancer": self.balancer}
        self.paced = [one for part in (model, objective) for one in part.modules() if isinstance(one, Paced)]
        self.moving = [one for part in (model, objective) for one in part.parameters() if one.requires_grad]
        average = Average({"model": self.model, "objective": self.objective}, self.config.average)
        self.running = Running(parts, Optimizer(parts, self.config, self.planned), Place(stage.name), average)
        self.due = evaluation_steps(loader.steps, self.config.evaluations)
        self.kept = folder / "checkpoints" / f"{stage.name}.safetensors" if folder is not None else None
        self.events = Events(folder / "events.jsonl") if folder is not None and self.world.leads else None
        optimizer = self.running.optimizer
        dealt = [one for part in parts.values() for one in sharded(part).values()]
        self.reduce = Reduce(self.world, optimizer.dense, optimizer.rows.tables, dealt)
        self.shards = Shards(parts, self.world)
        self.asked = self.late = False  # wishes to stop and to keep a checkpoint, agreed by all processes

    @property
    def place(self) -> Place:
        return self.running.place

    def run(self, resume: bool, snapshots: Sequence[int], warm: Mapping[str, Tensor] | None) -> History:
        self.snapshots = frozenset(snapshots)
        if warm is not None:
            self.running.optimizer.load(warm)
        self._begin(resume)
        if not self.place.ended:
            steps, epochs = self.planned, self.config.epochs
            with Bar(self.log, self.stage.name, steps, epochs, self.place.step) as self.bar, Interrupt() as self.stop:
                self.place.ended = self._epochs()
            self.running.finish(best=self.stage.keep == "best")
            self._event("end", why=self.place.ended, best_step=self.running.best.step)
            self._save()
            if self._stopping():
                raise Interrupted(self._interrupted())
        self.model.eval()
        return self._history()

    def _history(self) -> History:
        place, running = self.place, self.running
        best, early = running.best, place.ended == "patience"
        told = (tuple(running.validations), running.snapshots, place.taken)
        return History(place.step, place.rows, place.seconds, best.step, best.score, early, *told)

    def _begin(self, resume: bool) -> None:
        own = () if self.world.leads else (self.world.rank,)
        torch.manual_seed(derive(self.config.seed, self.stage.name, *own))
        found = self.shards.load(self.kept) if resume and self.kept is not None else None
        if found is not None:
            self.running.restore(found, self.world)
            if self.events is not None and not self.place.ended:
                self.events.cut(self.place.events)
        elif self.events is not None:
            self.place.before = self.events.begin(self.stage.name)
        self.saved = self.mark = time.monotonic()
        self.used = time.process_time()
        self.told = (self.place.rows, self.place.seconds)

    def _epochs(self) -> str:
        """Train until the budget or the patience ends; which of the two."""
        place, start = self.place, self.objective.start
        if place.step == 0 and start is not None and not start.any():  # not begun by an earlier stage
            rows = self.loader.epoch(0, Position())
            begin(self.objective, self.spread.batches(batch.to(self.device) for _, batch in rows))
        while place.epoch < self.config.epochs:
            if place.epoch_step == 0 and place.epoch in self.snapshots:
                self.running.snap()
            if self._epoch() or self._validated():
                return "patience"
            place.epoch, place.window, place.batch, place.epoch_step = place.epoch + 1, 0, 0, 0
        return "budget"

    def _epoch(self) -> bool:
        """The rest of an epoch; whether the patience ended in it."""
        place = self.place
        self.stage.wake(self.model)
        self.mark = time.monotonic()
        for after, batch in self.loader.epoch(place.epoch, Position(place.window, place.batch)):
            self._step(batch)
            place.window, place.batch = after.window, after.batch
            rows = len(batch) if self.world.alone else sum(self.spread.rows)
            place.step, place.epoch_step, place.rows = place.step + 1, place.epoch_step + 1, place.rows + rows
            self.running.average.move(place.step)
            now = time.monotonic()
            place.seconds, self.mark = place.seconds + now - self.mark, now
            self.bar.move(place.step, place.epoch)
            if place.step % TELL == 0:
                self._tell()
            if place.epoch_step in self.due and self._validated():
                return True
            self._save_if_due()
        return False

    def _step(self, batch: Batch) -> None:
        step = self.place.step
        if not self.world.alone:
            self.spread.begin(batch)
        batch = mask_ids(batch.to(self.device), self.config.mask_ids, self.config.seed, step)
        for one in self.paced:
            one.pace(self.place.epoch + self.place.epoch_step / self.loader.steps, self.config.epochs)
        output, terms = self.spread.answer(self.model, self.objective, batch)
        if step == 0 and tuple(terms) != self.balancer.terms:
            raise ConfigError(
                f"the objective gives terms {', '.join(terms)}, the balancer was built for "
                f"{', '.join(self.balancer.terms)}. Build it with the objective's terms."
            )
        extra = torch.stack(list(output.penalties.values())).sum() if output.penalties else None
        if extra is not None and not extra.requires_grad:  # of a part that stands still
            extra = None
        self.balancer.backward(terms, self.moving, step=step, extra=extra)
        if not self.world.alone:
            wishes = [self.stop.asked, self.world.leads and self._overdue()]
            self.asked, self.late = self.reduce.step(wishes, idle=self.spread.idle)
        self.running.optimizer.step(step)
        self.balancer.after(lambda: self.spread.answer(self.model, self.objective, batch)[1])
        self.running.losses.add({**terms, **output.penalties, **self.objective.watched})

    def _tell(self) -> None:
        """Look at the losses since last told, and write them down."""
        place = self.place
        if not self.running.losses.held:
            return
        means = self.running.losses.means(place.step)
        rows, seconds = place.rows - self.told[0], place.seconds - self.told[1]
        self.told = (place.rows, place.seconds)
        rate = rows / max(seconds, 1e-9)
        self.bar.tell(rate, means)
        lr = self.running.optimizer.lr(place.step - 1)
        self._event("step", losses=means, lr=lr, rows_per_second=round(rate), weights=dict(self.balancer.weights))

    def _validated(self) -> bool:
        """Validate, keep the best weights, and say whether the patience has ended."""
        running, place = self.running, self.place
        self._tell()
        self.model.eval()
        with torch.no_grad(), running.average.shown():
            found = self.evaluate()
            score, better = found.score, running.judged(found.score, keep=self.stage.keep == "best")
        self.stage.wake(self.model)
        line = {"step": place.step, "epoch": place.epoch, "score": score, "cells": dict(found.cells)}
        running.validations.append(line)
        self._event("evaluation", score=score, metric=self.config.metric, cells=dict(found.cells), best=better)
        self.bar.note(_words(place, score, better, running.best), running.best.score)
        self.mark = time.monotonic()
        return self.stage.keep == "best" and running.best.waited >= self.config.patience

    def _stopping(self) -> bool:
        return self.stop.asked if self.world.alone else self.asked

    def _overdue(self) -> bool:
        return time.monotonic() - self.saved > 60 * self.config.checkpoint_minutes

    def _save_if_due(self) -> None:
        every, place = self.config.checkpoint_steps, self.place
        if self._stopping():
            self._save()
            raise Interrupted(self._interrupted())
        late = self._overdue() if self.world.alone else self.late
        if self.kept is not None and (late or (every is not None and place.step % every == 0)):
            self._save()

    def _save(self) -> None:
        place, now, used = self.place, time.monotonic(), time.process_time()
        place.taken, self.saved = place.taken + now - self.saved, now
        place.cpu, self.used = place.cpu + used - self.used, used
        if self.kept is None:
            return
        if not self.running.losses.finite():
            self._tell()
        found = self.running.checkpoint(self.world)
        if self.events is not None:
            found.values["place"]["events"] = self.place.events = self.events.size()
        self.shards.save(self.kept, found)
        self.mark = time.monotonic()

    def _interrupted(self) -> str:
        where = f"stopped at step {self.place.step:,} of {self.planned:,} of stage {self.stage.name!r}"
        if self.kept is None:
            return f"{where}; nothing was kept, since no folder was given."
        return f"{where}; {self.kept} has everything. Run again with --resume to go on."

    def _event(self, kind: str, **values: Any) -> None:
        if self.events is not None:
            place = self.place
            total = place.before + place.step
            self.events.add(kind, stage=place.stage, epoch=place.epoch, step=place.step, total_step=total, **values)


def _words(place: Place, score: float | None, better: bool, best: Best) -> str:
    shown = "undefined" if score is None else f"{score:.4f}"
    known = "none defined yet" if best.score is None else f"best {best.score:.4f} at step {best.step:,}"
    rate = place.rows / max(place.seconds, 1e-9)
    compared = "best so far" if better else known
    return f"epoch {place.epoch + 1}, step {place.step:,}: validation {shown} ({compared}), {rate:,.0f} rows/s"
