"""One step over several processes: each computes its rows, all see the answers of the whole batch."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from polyrec.batch import Batch, Output
from polyrec.data.loader import Position, part_of
from polyrec.distributed import World
from polyrec.objectives import Objective, Terms
from polyrec.shapes import Float, Tensor

_HELD = ("scenario", "labels", "observed", "weight", "user", "item")  # of a row, what objectives read


class Spread:
    """Terms of the loss over the rows of all processes, with the graph of this one's rows.

    Every process gathers the answers of all and computes the terms of the whole batch from them, so that every
    objective, also one that compares rows with each other, means what it means in one process. The answers of others
    are constants: a process's gradient is its rows' part of the whole, and the sum over processes is the whole.

    A penalty of the model is taken for a mean over rows (or a function of parameters alone): the processes' penalties
    are averaged by their rows. Alone, a step is the model and then the objective, nothing else. With `half`, a kind of
    device, the model's products are taken in bfloat16.
    """

    def __init__(self, world: World, half: str | None = None) -> None:
        self.world, self.half = world, half
        self.rows: list[int] = []  # of each process, in the step under way
        self._penalties: tuple[str, ...] | None = None

    def begin(self, batch: Batch) -> None:
        """Take note of how many rows each process has in this step."""
        self.rows = self.world.counts(len(batch))

    @property
    def idle(self) -> bool:
        """Whether this process has no rows of a batch that has some: its gradients are empty sums."""
        return not self.rows[self.world.rank] and sum(self.rows) > 0

    def answer(self, model: nn.Module, objective: Objective, batch: Batch) -> tuple[Output, Terms]:
        """The whole batch's output (with this process's graph) and terms."""
        output = model(batch) if self.half is None else self._halved(model, batch)
        if self.world.alone:
            return output, objective(output, batch)
        whole = self.output(objective.beside(output, batch))
        return whole, objective(whole, self.batch(batch))

    def _halved(self, model: nn.Module, batch: Batch) -> Output:
        """Products in bfloat16; what leaves the model is float32 again."""
        assert self.half is not None
        with torch.autocast(self.half, torch.bfloat16):
            output: Output = model(batch)
        parts = (output.logits, output.hidden, output.penalties)
        return Output(*({name: one.float() for name, one in part.items()} for part in parts))

    def batch(self, batch: Batch) -> Batch:
        """What objectives read of all processes' rows; no features."""
        names = [name for name in _HELD if getattr(batch, name) is not None]
        mine = [getattr(batch, name) for name in names]
        packed = torch.cat([_bytes(one) for one in mine], 1)  # [B, bytes]
        every = torch.cat(self.world.gather(packed, self.rows))
        start = 0
        found: dict[str, Any] = {}
        for name, one in zip(names, mine, strict=True):
            width = _bytes(one[:0]).shape[1]
            part = every[:, start : start + width].contiguous().view(one.dtype)
            found[name] = part.reshape(len(every), *one.shape[1:])
            start += width
        none = batch.numerics.new_empty(len(every), 0)
        ids = batch.ids.new_empty(len(every), 0)
        return Batch(layout=batch.layout, ids=ids, numerics=none, **found)

    def output(self, output: Output) -> Output:
        """The answers of all processes; hidden states travel when they are read."""
        heads = list(output.logits)
        mine = torch.stack([output.logits[head] for head in heads], 1)  # [B, T]
        logits = dict(zip(heads, self._every(mine).unbind(1), strict=True))
        return Output(logits, _Hidden(output.hidden, self), self._shared(output.penalties))

    def _every(self, mine: Float[Tensor, "B *any"]) -> Float[Tensor, "R *any"]:
        parts = self.world.gather(mine, self.rows)
        parts[self.world.rank] = mine
        return torch.cat(parts)

    def _shared(self, penalties: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self._penalties is None:  # of the first process, which has rows when any has
            self._penalties = self.world.from_first(lambda: tuple(penalties))
        if not self._penalties:
            return {}
        part = self.rows[self.world.rank] / max(sum(self.rows), 1)
        none = next(iter(penalties.values())).new_zeros(()) if penalties else torch.zeros(())
        mine = torch.stack([penalties.get(name, none) for name in self._penalties]) * part
        whole = self.world.sum(mine.detach().clone().double()).to(mine)
        return dict(zip(self._penalties, (mine + (whole - mine.detach())).unbind(0), strict=True))

    def batches(self, rows: Iterator[Batch]) -> Iterator[Batch]:
        """What objectives read of whole batches."""
        for batch in rows:
            if self.world.alone:
                yield batch
            else:
                self.begin(batch)
                yield self.batch(batch)


class _Hidden(Mapping[str, Tensor]):
    """Hidden states of all processes' rows, each gathered when it is first read: by all processes alike."""

    def __init__(self, mine: Mapping[str, Tensor], spread: Spread) -> None:
        self._mine, self._spread = mine, spread
        self._found: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._found:
            self._found[name] = self._spread._every(self._mine[name])
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mine)

    def __len__(self) -> int:
        return len(self._mine)


@runtime_checkable
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


class Sliced:
    """A loader of whole batches, cut down to this process's rows of each."""

    def __init__(self, loader: Batches, world: World) -> None:
        self.loader, self.world = loader, world
        self.rows, self.steps = loader.rows, loader.steps

    def epoch(self, number: int, start: Position) -> Iterator[tuple[Position, Batch]]:
        """Batches from `start` on, each with the position after it."""
        for after, batch in self.loader.epoch(number, start):
            yield after, part_of(batch, *self.world.share(len(batch)))


def _bytes(values: Float[Tensor, "B *any"]) -> Tensor:
    """Each row as bytes, [B, bytes]."""
    plain = values.view(torch.uint8) if values.dtype == torch.bool else values
    flat = plain.reshape(len(values), prod(values.shape[1:]))
    return flat.clone(memory_format=torch.contiguous_format).view(torch.uint8)  # of no rows too
