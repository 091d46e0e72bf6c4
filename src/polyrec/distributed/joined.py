"""One of several processes that `torch.distributed` has joined."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast
from weakref import WeakMethod

import torch
import torch.distributed as dist

from polyrec.distributed.world import World
from polyrec.errors import NotReadyError, PolyrecError
from polyrec.shapes import Tensor

T = TypeVar("T")


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
        self._parts: list[WeakMethod[Callable[[], None]]] = []
        self._solo = False  # the first process works, the others wait for what it makes

    @property
    def shares(self) -> bool:
        """Whether other processes do now what this one does."""
        return not self._solo

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

    def exchange(
        self, rows: Tensor, counts: Sequence[int], coming: Sequence[int] | None = None
    ) -> tuple[Tensor, list[int]]:
        """All to all, by rows."""
        with _together():
            if coming is None:
                sizes = torch.tensor(counts, dtype=torch.int64)
                received = torch.empty_like(sizes)
                dist.all_to_all_single(received, sizes)
                coming = received.tolist()
                self.sent += (self.size - 1) * sizes.element_size()
            found = rows.new_empty(sum(coming), *rows.shape[1:])
            dist.all_to_all_single(found, rows.contiguous(), list(coming), list(counts))
        self.sent += (len(rows) - counts[self.rank]) * rows[:1].numel() * rows.element_size()
        return found, list(coming)

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives at the first process; what it raises is raised by all."""
        if not self.leads:
            return cast(T, self._waited())
        held: list[Any] = [None, None]
        self._solo = True
        try:
            held[0] = make()
        except PolyrecError as reason:
            held[1] = reason
        finally:
            self._solo = False
        packed = torch.frombuffer(bytearray(pickle.dumps(held)), dtype=torch.uint8)
        self._tell(-len(packed))
        return cast(T, self._opened(packed))

    def _waited(self) -> Any:
        while (number := self._tell(0)) >= 0:
            part = self._parts[number]()
            assert part is not None
            part()
        return self._opened(torch.empty(-number, dtype=torch.uint8))

    def _opened(self, packed: Tensor) -> Any:
        with _together():
            dist.broadcast(packed, 0, group=self._slow)
        made, reason = pickle.loads(packed.numpy().tobytes())
        if reason is not None:
            raise reason
        return made

    def _tell(self, number: int) -> int:
        """The first process's number, at all: of a part to be done, or less than 0 by the bytes of what it made."""
        told = torch.tensor([number])
        with _together():
            dist.broadcast(told, 0, group=self._slow)
        return int(told)

    def enlist(self, part: Callable[[], None]) -> int:
        """A number for it, from 0."""
        self._parts.append(WeakMethod(part))
        return len(self._parts) - 1

    def summon(self, number: int) -> None:
        """Tell the others, if they wait."""
        if self._solo:
            self._tell(number)

    def tell_once(self) -> bool:
        """Whether nobody else has told yet why the processes end."""
        if self._store is None:
            return True
        try:
            return bool(self._store.add("polyrec/told", 1) == 1)
        except RuntimeError:  # the store went with the process that kept it
            return True


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
