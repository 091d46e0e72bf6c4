"""Rows in a drawn order, in which each of several processes reads row groups of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from polyrec.data.files import Source
from polyrec.distributed import ALONE, World

TOGETHER = 8  # row groups that are read together
TURNS = 4  # of a window: so often each of them has its turn
UNEVEN = 1.15  # what a process may read of row groups that are read together, times its even share


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one row group: how many, which process reads them (None: each), and they, if this one does."""

    rows: int
    owner: int | None
    table: pa.Table | None


@dataclass(frozen=True, slots=True)
class Mixed:
    """A source's rows in windows, row groups in an order drawn anew for each seed, `together` of them in turn.

    Of row groups that are read together each turn takes the same share, so that every window holds some of each.
    They are dealt out to the processes, the largest first, each to the process that has least so far; where one would
    get more than 1.15 of its even share, or less than half of it, every process reads all. The order does not depend on
    the processes.

    Args:
        source: the rows.
        window: its rows.
        together: how many row groups.
        part: this process.
        shared: from which row of the epoch on every process reads all.

    Example:
        >>> import tempfile, pyarrow.parquet as pq
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "log.parquet"
        >>> pq.write_table(pa.table({"week": [1, 2, 3, 4]}), path, row_group_size=2)
        >>> windows = Mixed(Source((path,)), window=2).windows(["week"], (0, 1))
        >>> [[block.table["week"].to_pylist() for block in blocks] for blocks in windows]
        [[[1], [3]], [[2], [4]]]
    """

    source: Source
    window: int
    together: int = TOGETHER
    part: World = ALONE
    shared: int | None = None

    def windows(self, columns: Sequence[str], seed: Sequence[int], first: int = 0) -> Iterator[list[Block]]:
        """The windows from the first asked for on, each as a block a row group; the last one is shorter.

        Row groups that end before it, and those of other processes, are not opened.

        Raises:
            DataError: as `Source.tables`.
        """
        names = tuple(columns)
        self.source.require(names)
        held: dict[_Reader, int] = {}
        count = 0
        for reader, turn in self._turns(names, seed, first * self.window):
            rows = turn
            while count + rows >= self.window:
                rows -= self.window - count
                held[reader] = held.get(reader, 0) + self.window - count
                yield self._read(held)
                held, count = {}, 0
            if rows:
                held[reader] = held.get(reader, 0) + rows
                count += rows
        if held:
            yield self._read(held)

    def _read(self, held: Mapping["_Reader", int]) -> list[Block]:
        mine = (None, self.part.rank)
        return [Block(rows, one.owner, one.take(rows) if one.owner in mine else None) for one, rows in held.items()]

    def _turns(self, names: tuple[str, ...], seed: Sequence[int], start: int) -> Iterator[tuple["_Reader", int]]:
        """Whose rows come next, and how many, without `start` rows."""
        counts = self.source.counts()
        order = np.flatnonzero(counts)
        np.random.default_rng(list(seed)).shuffle(order)
        done = 0
        for at in range(0, len(order), self.together):
            places = order[at : at + self.together].tolist()
            rows = [counts[place] for place in places]
            done += sum(rows)
            if start < sum(rows):
                owners = deal(rows, self.part.size) if self.shared is None or done <= self.shared else None
                readers = [
                    _Reader(self.source, place, names, None if owners is None else owners[number])
                    for number, place in enumerate(places)
                ]
                yield from self._round(readers, rows, start)
            start = max(start - sum(rows), 0)

    def _round(self, readers: list["_Reader"], rows: list[int], start: int) -> Iterator[tuple["_Reader", int]]:
        turns = max(round(TURNS * sum(rows) / self.window), 1) if self.source.rows() > self.window else 1
        for turn in range(turns):
            for reader, whole in zip(readers, rows, strict=True):
                count = whole * (turn + 1) // turns - whole * turn // turns
                skipped = min(start, count)
                start -= skipped
                reader.skip(skipped)
                if count > skipped:
                    yield reader, count - skipped


def deal(rows: Sequence[int], size: int) -> list[int] | None:
    """Which of `size` processes reads each of some row groups; None where that would be uneven.

    Example:
        >>> deal([10, 10, 10, 10], 2), deal([10, 10, 10], 2), deal([30, 10, 20], 2)
        ([0, 1, 0, 1], None, [0, 1, 1])
    """
    loads = [0] * size
    owners = [0] * len(rows)
    for place in sorted(range(len(rows)), key=lambda place: -rows[place]):
        owners[place] = loads.index(min(loads))
        loads[owners[place]] += rows[place]
    even = sum(rows) / size
    return owners if max(loads) <= UNEVEN * even and min(loads) >= even / 2 else None


class _Reader:
    """Rows of a row group, so many at a time; it is opened when the first are taken."""

    def __init__(self, source: Source, place: int, names: tuple[str, ...], owner: int | None) -> None:
        self.owner = owner
        self._stream = source.read(place, names)
        self._held: list[pa.Table] = []
        self._skip = 0

    def skip(self, rows: int) -> None:
        self._skip += rows

    def take(self, rows: int) -> pa.Table:
        self._drop()
        held, count = self._held, sum(table.num_rows for table in self._held)
        while count < rows:
            held.append(next(self._stream))
            count += held[-1].num_rows
        last = held.pop()
        rest = count - rows
        taken = pa.concat_tables([*held, last.slice(0, last.num_rows - rest)])
        self._held = [last.slice(last.num_rows - rest)] if rest else []
        return taken

    def _drop(self) -> None:
        while self._skip:
            table = self._held.pop() if self._held else next(self._stream)
            if table.num_rows > self._skip:
                self._held = [table.slice(self._skip)]
            self._skip = max(self._skip - table.num_rows, 0)
