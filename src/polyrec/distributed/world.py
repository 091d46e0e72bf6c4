"""The processes that train together, as each of them sees it; one process alone tells nobody anything."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist

from polyrec.errors import NotReadyError, PolyrecError
from polyrec.shapes import Tensor

T = TypeVar("T")


class World:
    """One process alone: sums are what is summed, and gathering gives one part.

    Every process calls the same methods in the same order; the example is what they do where there is but one.

    Example:
        >>> ALONE.sum(torch.ones(2)).tolist(), len(ALONE.gather(torch.ones(2))), ALONE.share(10)
        ([1.0, 1.0], 1, (0, 10))
    """

    rank = 0
    size = 1

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, count: int) -> tuple[int, int]:
        """Which of `count` things in order are this process's: from, to. The first process has some if any has.

        Example:
            >>> one = World()
            >>> one.rank, one.size = 1, 3
            >>> one.share(10)
            (4, 7)
        """
        return -(-count * self.rank // self.size), -(-count * (self.rank + 1) // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        return values

    def counts(self, count: int) -> list[int]:
        """Every process's count."""
        return [count]

    def gather(self, rows: Tensor, counts: Sequence[int] | None = None) -> list[Tensor]:  # noqa: ARG002
        """Every process's rows; `counts`, how many each has, where that is known."""
        return [rows]

    def collect(self, rows: Tensor) -> list[Tensor] | None:
        """Every process's rows at the first process; None at the others."""
        return [rows]

    def exchange(self, rows: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[int]]:
        """Send `counts[r]` rows, in order, to each process r; what came from each, in order, and how many."""
        return rows, list(counts)

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives at the first process; what it raises is raised by all."""
        return make()

    def tell_once(self) -> bool:
        """Whether nobody else has told yet why the processes end."""
        return True


class Joined(World):
    """One of several processes, joined by `torch.distributed`.

    Every operation has a time limit, that of the group; `slow` is a group that waits longer, for what the first
    process does while the others wait (reading statistics, judging).

    Raises:
        NotReadyError: another process is gone, or late.
    """

    def __init__(self, rank: int, size: int, slow: dist.ProcessGroup | None, store: Any) -> None:
        self.rank, self.size = rank, size
        self._slow, self._store = slow, store

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        with _together():
            dist.all_reduce(values)
        return values

    def counts(self, count: int) -> list[int]:
        """Every process's count."""
        found = torch.zeros(self.size, dtype=torch.int64)
        found[self.rank] = count
        return [int(one) for one in self.sum(found).tolist()]

    def gather(self, rows: Tensor, counts: Sequence[int] | None = None) -> list[Tensor]:
        """Every process's rows, padded to the most that one has while they travel."""
        counts = self.counts(len(rows)) if counts is None else counts
        most = max(counts)
        if not most:
            return [rows for _ in counts]
        mine = rows.detach().contiguous()
        if len(mine) < most:
            mine = torch.cat([mine, mine.new_zeros(most - len(mine), *mine.shape[1:])])
        found = [torch.empty_like(mine) for _ in counts]
        with _together():
            dist.all_gather(found, mine)
        return [one[:count] for one, count in zip(found, counts, strict=True)]

    def collect(self, rows: Tensor) -> list[Tensor] | None:
        """Every process's rows at the first process, one process after the other; None at the others."""
        counts = self.counts(len(rows))
        with _together():
            if not self.leads:
                if len(rows):
                    dist.send(rows.contiguous(), 0, group=self._slow)
                return None
            parts = [rows]
            for source, count in enumerate(counts[1:], 1):
                part = rows.new_empty(count, *rows.shape[1:])
                if count:
                    dist.recv(part, source, group=self._slow)
                parts.append(part)
        return parts

    def exchange(self, rows: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[int]]:
        """All to all, by rows."""
        sent = torch.tensor(counts, dtype=torch.int64)
        received = torch.empty_like(sent)
        with _together():
            dist.all_to_all_single(received, sent)
            coming = [int(one) for one in received.tolist()]
            found = rows.new_empty(sum(coming), *rows.shape[1:])
            dist.all_to_all_single(found, rows.contiguous(), coming, list(counts))
        return found, coming

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives at the first process; what it raises is raised by all."""
        held: list[Any] = [None, None]
        if self.leads:
            try:
                held[0] = make()
            except PolyrecError as reason:
                held[1] = reason
        with _together():
            size = torch.zeros(1, dtype=torch.int64)
            packed = torch.frombuffer(bytearray(pickle.dumps(held)), dtype=torch.uint8) if self.leads else None
            if packed is not None:
                size[0] = len(packed)
            dist.broadcast(size, 0, group=self._slow)
            found = packed if packed is not None else torch.empty(int(size), dtype=torch.uint8)
            dist.broadcast(found, 0, group=self._slow)
        if not self.leads:
            held = pickle.loads(found.numpy().tobytes())
        if held[1] is not None:
            raise held[1]
        return cast(T, held[0])

    def tell_once(self) -> bool:
        """Whether nobody else has told yet why the processes end."""
        if self._store is None:
            return True
        try:
            return bool(self._store.add("polyrec/told", 1) == 1)
        except RuntimeError:  # the store went with the process that kept it
            return True


ALONE = World()
_HERE: list[World] = [ALONE]


def world() -> World:
    """The processes of which this is one."""
    return _HERE[-1]


@contextmanager
def within(one: World) -> Iterator[World]:
    """Be one of these processes for a while; after an error to the end, so that one of them tells of it."""
    _HERE.append(one)
    yield one
    _HERE.pop()


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as reason:
        text = str(reason).partition("\n")[0]
        late = "imed out" in text or "imeout" in text
        what = "did not answer in time" if late else "has ended"
        raise NotReadyError(
            f"another process of this run {what} ({text[:160]}). Its own message says why, if it had time for one. "
            "Run the same command again with --resume to go on from the last checkpoint."
        ) from reason


def pieces(rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Rows cut into consecutive parts of these lengths."""
    edges = [0, *torch.tensor(list(counts)).cumsum(0).tolist()]
    return [rows[start:stop] for start, stop in pairwise(edges)]


class _Sum(torch.autograd.Function):
    """A sum over processes of which each goes on with its own rows: so does the gradient's."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ARG004
        return world().sum(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return world().sum(gradient.clone())


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, with its gradient: what every process's loss gains from this one's values."""
    return cast(Tensor, _Sum.apply(values))  # type: ignore[no-untyped-call]
