"""The processes that train together, as each of them sees it; one process alone tells nobody anything."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar, cast

import torch

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
    sent = 0  # bytes that `exchange` has sent to others

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    @property
    def shares(self) -> bool:
        """Whether other processes do now what this one does."""
        return False

    def share(self, count: int) -> tuple[int, int]:
        """Which of `count` things in order are this process's: from, to. The first process has some if any has.

        Example:
            >>> one = World()
            >>> one.rank, one.size = 1, 3
            >>> one.share(10)
            (4, 7)
        """
        return -(-count * self.rank // self.size), -(-count * (self.rank + 1) // self.size)

    def most(self, count: int) -> int:
        """How many of `count` things a process has at most: the first one."""
        return -(-count // self.size)

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

    def exchange(
        self,
        rows: Tensor,
        counts: Sequence[int],
        coming: Sequence[int] | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, list[int]]:
        """Send `counts[r]` rows, in order, to each process r; what came from each, in order, and how many.

        `coming`: how many come from each, where that is known.
        """
        return rows, list(counts)

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives at the first process; what it raises is raised by all.

        Meanwhile the others take part in what the first one summons them to.
        """
        return make()

    def enlist(self, part: Callable[[], None]) -> int:  # noqa: ARG002
        """A number for what a process does in an exchange that it has no wish of its own in; alike at every process.

        `part` is a method, which is forgotten together with its object.
        """
        return 0

    def summon(self, number: int) -> None:
        """Within `from_first`: have the others do their part number so-and-so. Else they are there already."""

    def tell_once(self) -> bool:
        """Whether nobody else has told yet why the processes end."""
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
