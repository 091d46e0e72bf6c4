"""Scoring batch by batch, and keeping logits beside labels."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from polyrec.allocator import keep_freed
from polyrec.batch import Batch, Layout
from polyrec.errors import DataError, unknown
from polyrec.evaluation.collected import Collected
from polyrec.schema import Target
from polyrec.shapes import Float, Tensor

__all__ = ["Collected", "Collector", "Score", "run"]
Score = Callable[[Batch], Mapping[Target, Tensor]]


class _Column:
    """Values appended block by block into one array that doubles when it is full."""

    def __init__(self, kind: Any, capacity: int) -> None:
        self.values = np.empty(capacity, dtype=kind)
        self.filled = 0

    def add(self, block: np.ndarray) -> None:
        needed = self.filled + len(block)
        if needed > len(self.values):
            larger = np.empty(max(needed, 2 * len(self.values)), dtype=self.values.dtype)
            larger[: self.filled] = self.values[: self.filled]
            self.values = larger
        self.values[self.filled : needed] = block
        self.filled = needed

    def done(self) -> np.ndarray:
        return self.values[: self.filled]


class Collector:
    """Gathers batches into a `Collected`: 12 bytes a row and 6 more for each target.

    Args:
        layout: names the targets and scenarios.
        rows: how many are expected, where that is known; only saves copying.
    """

    def __init__(self, layout: Layout, rows: int | None = None) -> None:
        self.targets, self.scenarios = layout.targets, layout.scenarios
        size = 65_536 if rows is None else rows
        self._scenario, self._user = _Column(np.int32, size), _Column(np.int64, size)
        self._logits = {target: _Column(np.float32, size) for target in self.targets}
        self._labels = {target: _Column(np.bool_, size) for target in self.targets}
        self._inside = {target: _Column(np.bool_, size) for target in self.targets}

    def add(self, batch: Batch, predictions: Mapping[Target, Float[Tensor, "B"]]) -> None:
        """Append a batch and its logits.

        Raises:
            DataError: a target without predictions, or with another number of them than rows.
        """
        for target in self.targets:
            if target not in predictions:
                raise DataError(unknown("target", target.name, [one.name for one in predictions], "predicted"))
            if predictions[target].shape != (len(batch),):
                raise DataError(
                    f"target {target.name!r} has predictions of shape {tuple(predictions[target].shape)} for "
                    f"{len(batch)} rows: give one logit a row."
                )
        self._scenario.add(_array(batch.scenario))
        self._user.add(_array(batch.user))
        for target in self.targets:
            labels, inside = batch.target(target)
            self._logits[target].add(_array(predictions[target].float()))
            self._labels[target].add(_array((labels > 0.5) & inside))
            self._inside[target].add(_array(inside))

    def done(self) -> Collected:
        """Everything added so far."""
        return Collected(
            targets=self.targets,
            scenarios=self.scenarios,
            scenario=self._scenario.done(),
            user=self._user.done(),
            logits={target: column.done() for target, column in self._logits.items()},
            labels={target: column.done() for target, column in self._labels.items()},
            inside={target: column.done() for target, column in self._inside.items()},
        )


def run(
    score: Score, batches: Iterable[Batch], *, model: nn.Module | None = None, rows: int | None = None
) -> Collected:
    """Score every batch in inference mode.

    Args:
        score: a batch to the logits of every target.
        batches: at least one batch, which may be empty: it names the targets.
        model: scored in evaluation mode, its training flags restored afterwards. Without it, `score` itself
            where it is a module or a module's method.
        rows: how many rows are expected, where that is known.

    Raises:
        DataError: no batch at all, or predictions that do not fit (see `Collector.add`).
    """
    keep_freed()
    collector: Collector | None = None
    modes = _modes(score, model)
    try:
        for module in modes:
            module.training = False
        with torch.inference_mode():
            for batch in batches:
                if collector is None:
                    collector = Collector(batch.layout, rows)
                collector.add(batch, score(batch))
    finally:
        for module, training in modes.items():
            module.training = training
    if collector is None:
        raise DataError("there are no rows to evaluate: 0 batches. Check the files and the split.")
    return collector.done()


def _modes(score: Score, model: nn.Module | None) -> dict[nn.Module, bool]:
    owner = model if model is not None else getattr(score, "__self__", score)
    return {one: one.training for one in owner.modules()} if isinstance(owner, nn.Module) else {}


def _array(values: Tensor) -> np.ndarray:
    found: np.ndarray = values.detach().cpu().numpy()
    return found
