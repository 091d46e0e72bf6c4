"""Which rows of other scenarios pass to a target: those that the graph of interactions connects with it, thinned."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from polyrec.batch import NO_USER, Batch
from polyrec.config import TransferConfig
from polyrec.data.held import join
from polyrec.errors import DataError
from polyrec.shapes import Bool, Int, Tensor
from polyrec.transfer.graph import Edges, Reached, reach

Batches = Callable[[], Iterable[Batch]]


@dataclass(frozen=True, slots=True, eq=False)
class Passing:
    """Rows of other scenarios with a kept item and a reached user; without a graph, all rows of others."""

    scenario: int  # the target
    allowed: Bool[Tensor, "S"]  # scenarios that may give candidates
    graph: Reached | None = None
    kept: int = 0  # K

    def rows(self, batch: Batch) -> Bool[Tensor, "B"]:
        """Those that pass."""
        others = (batch.scenario >= 0) & (batch.scenario != self.scenario)
        if self.graph is None:
            return others
        return others & torch.from_numpy(_need(self.graph, batch) <= self.kept)

    def candidates(self, batch: Batch) -> Bool[Tensor, "B"]:
        """Those of them that are of allowed scenarios."""
        return self.rows(batch) & _allowed(batch, self.allowed)


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """Rows that were drawn from those that pass."""

    passed: Int[np.ndarray, "S"]  # how many rows of each scenario pass
    rows: Batch
    places: Int[np.ndarray, "C"]  # of the rows in the stream of batches, rising


def passing(batches: Batches, target: Batch, allowed: Bool[Tensor, "S"], options: TransferConfig) -> Passing:
    """The graph of positives, and the least K with which `ratio` rows of allowed scenarios pass for each target row.

    Raises:
        DataError: a graph is asked for, and rows have no item.
    """
    scenario = int(target.scenario[0])
    if not options.graph:
        return Passing(scenario, allowed)
    if target.item is None:
        raise DataError(
            "the graph of users and items needs both keys in the schema, and [keys] has no item. "
            "Add it, or set [transfer] graph = false."
        )

    def edges() -> Iterator[Edges]:
        for batch in batches():
            yield _keys(batch, (batch.observed & (batch.labels > 0.5)).any(1))

    graph = reach(edges(), _keys(target, torch.ones(len(target), dtype=torch.bool))[1], parts=options.parts)
    count = np.zeros(len(graph.items) + 2, np.int64)  # of rows, by the K that they need
    for batch in batches():
        need = _need(graph, batch)[_allowed(batch, allowed).numpy()]
        count += np.bincount(need, minlength=len(count))
    pass_at = np.cumsum(count[:-1])
    enough = int(np.searchsorted(pass_at, options.ratio * len(target)))
    return Passing(scenario, allowed, graph, max(graph.own, min(enough, len(graph.items))))


def picked(batches: Batches, found: Passing, most: float, seed: int) -> "Picked":
    """At random about `most` of the rows of allowed scenarios that pass."""
    passed = np.zeros(len(found.allowed), np.int64)
    for batch in batches():
        passed += np.bincount(batch.scenario[found.rows(batch)].numpy(), minlength=len(passed))
    share = min(1.0, most / max(int(passed[found.allowed.numpy()].sum()), 1))
    random = torch.Generator().manual_seed(seed)
    held, places, seen = [], [np.zeros(0, np.int64)], 0
    for batch in batches():
        rows = torch.nonzero(found.candidates(batch) & (torch.rand(len(batch), generator=random) < share))[:, 0]
        held.append(batch.select(rows))
        places.append(rows.numpy() + seen)
        seen += len(batch)
    return Picked(passed, join(held), np.concatenate(places))


def _need(graph: Reached, batch: Batch) -> Int[np.ndarray, "B"]:
    assert batch.item is not None
    return graph.need(batch.user.numpy(), batch.item.numpy())


def _allowed(batch: Batch, allowed: Bool[Tensor, "S"]) -> Bool[Tensor, "B"]:
    return allowed[batch.scenario.clamp(min=0)] & (batch.scenario >= 0)


def _keys(batch: Batch, rows: Bool[Tensor, "B"]) -> Edges:
    """Users and items of these rows, where both are known."""
    assert batch.item is not None
    known = rows & (batch.user != NO_USER) & (batch.item != NO_USER)
    return batch.user[known].numpy(), batch.item[known].numpy()
