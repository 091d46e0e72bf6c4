"""The rows that a stage learns from, by the name of its data, and how it is validated on others."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np
import torch
from torch import nn

from polyrec.batch import Batch
from polyrec.config import RetrievalConfig, RunConfig
from polyrec.data.files import Source
from polyrec.data.held import ByScenario, one_each, where
from polyrec.data.loader import Loader, part_of
from polyrec.data.pairs import Pairs, Together
from polyrec.declare import parse
from polyrec.distributed import ALONE, World, world
from polyrec.errors import ConfigError, unknown
from polyrec.evaluation import collect
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.groups import MACRO
from polyrec.evaluation.merge import merge
from polyrec.evaluation.rows import Row
from polyrec.evaluation.validation import validation
from polyrec.progress import Progress, told
from polyrec.recipes.assemble import Assembly
from polyrec.recipes.prepare import Prepared
from polyrec.retrieval.trial import Judged, Trial, macro, towers
from polyrec.schema import ALL
from polyrec.shapes import Bool, Tensor
from polyrec.training import Evaluation
from polyrec.training.device import device
from polyrec.training.spread import Batches

EVALUATION_BATCH = 2_048  # activations that stay in the cache


def retrieval_of(run: RunConfig) -> RetrievalConfig:
    """The run's [retrieval] with every default."""
    return parse(RetrievalConfig, run.retrieval, "[retrieval]")


class Rows:
    """What all stages of a run read, each made when it is first asked for and held then.

    Data of a stage: `"train"`, every training row, streamed; `"positives"`, rows with the label of
    `[retrieval] task`, a scenario at a time; `"pairs"`, users and items in two scenarios, labelled or not (`"labelled
    pairs"`: of labelled rows alone); `"positives and pairs"`, both in each batch.
    """

    def __init__(self, run: RunConfig, prepared: Prepared) -> None:
        self.run, self.prepared, self.config = run, prepared, retrieval_of(run)
        names = [task.name for task in prepared.schema.tasks]
        if self.config.task is not None and self.config.task not in names:
            raise ConfigError("[retrieval] task: " + unknown("task", self.config.task, names, "in the schema"))
        self.task = self.config.task or names[0]

    def loader(self, assembly: Assembly) -> Batches:
        """Batches of a stage's data."""
        training, data = assembly.training, assembly.stage.data
        if data in ("positives", "positives and pairs"):
            size, power = training.batch_size, self.config.power
            positives = ByScenario(self._positives, batch_size=size, seed=training.seed, power=power)
            if data == "positives":
                return positives
            return Together(positives, self._pairs(lambda batch: batch.scenario >= 0, assembly))
        if data == "labelled pairs":
            return self._pairs(self._labelled, assembly)
        if data == "pairs":
            return self._pairs(lambda batch: batch.scenario >= 0, assembly)
        return Loader(
            self.prepared.splits.train,
            self.prepared.encoder,
            batch_size=training.batch_size,
            shuffle_rows=self.run.data.shuffle_rows,
            seed=training.seed,
            prefetch=self.run.data.prefetch,
            part=world(),
            pin=device(training.device).type == "cuda",
            mixed=self.run.data.mixed,
        )

    def evaluate(self, assembly: Assembly) -> Callable[[], Evaluation]:
        """How a stage is validated: by the metric of its training options."""
        if assembly.training.metric != "recall":
            return lambda: self._scored(assembly)
        towers(assembly.model)
        return lambda: world().from_first(lambda: self._recalled(assembly.model))

    def trial(self, judged: Source, *seen: Source) -> Trial:
        """Full ranking on the positives of `judged`, after the rows of `seen`."""
        return Trial(
            lambda: (batch for source in seen for batch in self.batches(source)),
            lambda: self.batches(judged),
            self._positive,
            exclude=self.config.exclude,
            ks=tuple(sorted({*self.config.ks, self.config.at})),
        )

    def batches(self, source: Source, part: World = ALONE) -> Iterable[Batch]:
        """Every row of a source once, in order; of several processes, this one's share of the batches."""
        size, encoder = 64 * EVALUATION_BATCH, self.prepared.encoder
        loader = Loader(source, encoder, batch_size=EVALUATION_BATCH, shuffle_rows=size, prefetch=1, part=part)
        return loader.ordered()

    def collected(
        self, score: collect.Score, source: Source, model: nn.Module | None = None, progress: Progress | None = None
    ) -> Collected | None:
        """A source's rows, scored by all processes; at the first one, None at the others."""
        layout, part = self.prepared.encoder.layout, world()
        count = -(-source.rows() // EVALUATION_BATCH)
        first, last = part.share(count)
        rows = source.rows() if part.alone else (last - first) * EVALUATION_BATCH
        batches = told(progress, "scoring rows", self.batches(source, part), rows)
        if last - first < part.most(count):
            batches = self._and_none(batches, source)
        return merge(collect.run(score, batches, model=model, rows=rows), layout, part)

    def _and_none(self, batches: Iterable[Batch], source: Source) -> Iterator[Batch]:
        """The same and one of no rows: every process looks as many batches up in sharded tables as the first."""
        last: Batch | None = None
        for last in batches:
            yield last
        yield part_of(next(iter(self.batches(source))) if last is None else last, 0, 0)

    @cached_property
    def _positives(self) -> Batch:
        return where(self.batches(self.prepared.splits.train), self._positive)

    @cached_property
    def _validation(self) -> Trial:
        return self.trial(self.prepared.splits.valid, self.prepared.splits.train)

    def _positive(self, batch: Batch) -> Bool[Tensor, "B"]:
        place = batch.layout.task_index(self.task)
        return batch.observed[:, place] & (batch.labels[:, place] > 0.5) & (batch.scenario >= 0)

    def _labelled(self, batch: Batch) -> Bool[Tensor, "B"]:
        return batch.observed[:, batch.layout.task_index(self.task)] & (batch.scenario >= 0)

    def _pairs(self, chosen: Callable[[Batch], Tensor], assembly: Assembly) -> Pairs:
        def rows() -> Iterable[Batch]:
            for batch in self.batches(self.prepared.splits.train):
                yield batch.select(torch.nonzero(chosen(batch))[:, 0])

        names = [one.name for one in self.prepared.encoder.layout.categorical]
        keys = self.prepared.schema.keys
        user, item = (names.index(key) if key in names else None for key in (keys.user, keys.item))
        return Pairs(
            one_each(rows(), "user"),
            one_each(rows(), "item"),
            batch_size=assembly.training.batch_size,
            seed=assembly.training.seed,
            mask_id=self.config.mask_id,
            ids=(user, item),
        )

    def _scored(self, assembly: Assembly) -> Evaluation:
        training = assembly.training
        collected = self.collected(
            lambda batch: assembly.objective.predict(assembly.model(batch.to(training.device))),
            self.prepared.splits.valid,
            assembly.model,
        )
        return world().from_first(lambda: _judged(collected, training.metric))

    def _recalled(self, model: nn.Module) -> Evaluation:
        """Recall by scenario, and their mean weighed by the root of the users asked for.

        So small scenarios count for more than their users, and their noise does not decide. Pools of no more items
        than the cut-off are left out: everything is found there.
        """
        trial, at = self._validation, self.config.at
        small = {name: len(one.items) for name, one in trial.questions.items() if len(one.items) <= at}
        if len(small) == len(trial.questions):
            raise ConfigError(
                f"[retrieval] at = {at}: no scenario has more items than that (the largest has "
                f"{max(small.values())}), so that recall@{at} is 1 whatever is learned. Lower it."
            )
        judged = {name: one for name, one in trial.run(model).items() if name not in small and one.n}
        cells = {f"{name}/recall@{at}": one.estimates[f"recall@{at}"].value or 0.0 for name, one in judged.items()}
        if not cells:
            return Evaluation(None, cells)
        return Evaluation(
            float(np.average(list(cells.values()), weights=[one.n**0.5 for one in judged.values()])), cells
        )


def _judged(collected: Collected | None, metric: str) -> Evaluation:
    assert collected is not None
    found = validation(collected, "log_loss" if metric == "log_loss" else "auc")
    sign = -1.0 if metric == "log_loss" else 1.0
    cells = {f"{cell.scenario}/{cell.target.name}": value for cell, value in found.cells.items()}
    return Evaluation(None if found.mean is None else sign * found.mean, cells)


def lines(judged: Mapping[str, Judged], task: str) -> list[Row]:
    """A report's lines of retrieval metrics, scenario by scenario and their mean."""
    n, positives = (sum(getattr(one, name) for one in judged.values()) for name in ("n", "positives"))
    whole = {**judged, MACRO: Judged(macro(judged), n, positives)}
    return [
        Row(name, task, ALL, metric, one.value, one.low, one.high, cell.n, cell.positives, one.note)
        for name, cell in whole.items()
        for metric, one in cell.estimates.items()
    ]
