"""Encoded rows that are held in memory: joined, one a pair of keys, and batches of one scenario each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, Literal

import numpy as np
import torch

from polyrec.batch import NO_USER, Batch, Jagged
from polyrec.data.loader import START, Position
from polyrec.errors import ConfigError, DataError
from polyrec.shapes import Int, Tensor

Entity = Literal["user", "item"]


def join(batches: Sequence[Batch]) -> Batch:
    """Batches of one layout as one, in their order.

    Raises:
        DataError: no batch.
    """
    if not batches:
        raise DataError("there are no rows to hold: 0 batches. Check the files and the split.")
    first = batches[0]
    single: dict[str, Any] = {
        one.name: torch.cat([getattr(batch, one.name) for batch in batches])
        for one in fields(first)
        if isinstance(getattr(first, one.name), torch.Tensor)
    }
    sequences = {name: _joined([batch.sequences[name] for batch in batches]) for name in first.sequences}
    vectors = {name: torch.cat([batch.vectors[name] for batch in batches]) for name in first.vectors}
    return replace(first, sequences=sequences, vectors=vectors, **single)


def keys(batch: Batch, what: Entity) -> Int[Tensor, "B"]:
    """Which rows are of one user or item.

    Raises:
        DataError: the schema names no such key.
    """
    found = batch.user if what == "user" else batch.item
    if found is None:
        raise DataError(f"rows have no {what} key. Set [keys] {what} in the schema.")
    return found


def one_each(batches: Iterable[Batch], what: Entity, *, keep: Literal["first", "last"] = "last") -> Batch:
    """One row for each user (or item) and scenario; rows without a key or with an unknown scenario are left out.

    Memory grows with distinct pairs and not with rows.
    """
    held: list[Batch] = []
    for batch in batches:
        held.append(_distinct(batch, what, keep))
        if len(held) > 1 and len(held[-1]) + sum(map(len, held[1:-1])) > len(held[0]):
            held = [_distinct(join(held), what, keep)]
    return _distinct(join(held), what, keep)


def where(batches: Iterable[Batch], chosen: Callable[[Batch], Tensor]) -> Batch:
    """The rows of which `chosen` (a mask by batch) says so."""
    return join([batch.select(torch.nonzero(chosen(batch))[:, 0]) for batch in batches])


class ByScenario:
    """Batches of held rows, each of one scenario.

    An objective that compares rows of one scenario finds a whole batch of them, however small the scenario's
    share. A scenario of n rows gets batches in proportion to n^power: 1 is one pass over all rows, less gives
    small scenarios more than their share (their rows come again). Order is drawn from (seed, epoch) and nothing
    else.

    Args:
        held: rows of known scenarios.
        batch_size: the most rows of a batch.
        seed: of the order.
        power: in [0, 1].
        mixed: batches of all scenarios' rows instead.

    Example:
        >>> from polyrec.testing import example_layout, random_batch
        >>> loader = ByScenario(random_batch(example_layout(), 100), batch_size=20)
        >>> all(len(batch.scenario.unique()) == 1 for _, batch in loader.epoch(0))
        True
    """

    def __init__(self, held: Batch, *, batch_size: int, seed: int = 0, power: float = 1.0, mixed: bool = False) -> None:
        if batch_size < 1 or not 0.0 <= power <= 1.0:
            raise ConfigError(f"batch_size = {batch_size} must be at least 1, power = {power} within 0 and 1.")
        if not len(held):
            raise DataError("no training row is a positive: there is nothing to retrieve. Check the task's label.")
        self.held, self.seed = held, seed
        scenario = torch.zeros_like(held.scenario) if mixed else held.scenario
        order = torch.argsort(scenario, stable=True)
        sizes = torch.bincount(scenario, minlength=len(held.layout.scenarios))
        self._rows = [part for part in torch.split(order, sizes.tolist()) if len(part)]
        counts = np.array([len(part) for part in self._rows])
        parts = np.ceil(counts / batch_size).astype(int)
        self._sizes = np.ceil(counts / parts).astype(int)
        share = counts**power / (counts**power).sum()
        self._batches = parts if power == 1.0 else np.maximum(1, np.round(share * parts.sum())).astype(int)
        self._needed = np.where(self._batches == parts, counts, self._batches * self._sizes)

    @property
    def rows(self) -> int:
        """Rows in an epoch, those that come again counted each time."""
        return int(self._needed.sum())

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return int(self._batches.sum())

    def epoch(self, number: int, start: Position = START) -> Iterator[tuple[Position, Batch]]:
        """The batches of an epoch from `start` on, each with the position that comes after it."""
        random = np.random.default_rng((self.seed, number))
        parts: list[np.ndarray] = []
        for rows, needed, size in zip(self._rows, self._needed.tolist(), self._sizes.tolist(), strict=True):
            turns = [random.permutation(rows.numpy()) for _ in range(-(-needed // len(rows)))]
            whole = np.concatenate(turns)[:needed]
            parts += [whole[at : at + size] for at in range(0, needed, size)]
        order = random.permutation(len(parts))
        for place in range(start.batch, len(parts)):
            yield Position(0, place + 1), self.held.select(torch.from_numpy(parts[order[place]]))


def _distinct(batch: Batch, what: Entity, keep: Literal["first", "last"]) -> Batch:
    entity, scenario = keys(batch, what).numpy(), batch.scenario.numpy()
    usable = np.flatnonzero((entity != NO_USER) & (scenario >= 0))
    order = usable[np.lexsort((usable, entity[usable], scenario[usable]))]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(entity[order]) != 0) | (np.diff(scenario[order]) != 0)
    chosen = order[new] if keep == "first" else order[np.append(new[1:], True)] if len(order) else order
    return batch.select(torch.from_numpy(chosen))


def _joined(parts: Sequence[Jagged]) -> Jagged:
    lengths = torch.cat([one.lengths for one in parts])
    offsets = torch.zeros(len(lengths) + 1, dtype=parts[0].offsets.dtype)
    offsets[1:] = torch.cumsum(lengths, 0)
    values = torch.cat([one.values[int(one.offsets[0]) : int(one.offsets[-1])] for one in parts])
    return Jagged(values, offsets)
