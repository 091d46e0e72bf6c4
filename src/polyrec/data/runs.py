"""Frames in one order, however many: sorted runs in files, merged block by block."""

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from polyrec.data.spill import Space

BLOCK = 2**18  # bytes of a run that are held while runs are merged
WIDTH = 256  # runs that are merged at a time: each has a block in memory, and perhaps an open file
Run = tuple[Path, range]  # a file, and which of its blocks


class Runs:
    """Rows in any number, in memory until they are many, then in sorted runs on disk.

    More runs than memory holds blocks of, or than `WIDTH`, are merged in rounds, each into a longer run.

    Args:
        by: columns that order them, rising.
        space: where they lie.
        combine: makes one row of equal ones, of a block in order.

    Example:
        >>> with Space() as space:
        ...     runs = Runs(["value"], space)
        ...     for part in ([3, 9], [1, 4]):
        ...         runs.write(pl.DataFrame({"value": part}))
        ...     [one for block in runs.merged() for one in block["value"]]
        [1, 3, 4, 9]
    """

    def __init__(
        self, by: Sequence[str], space: Space, combine: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    ) -> None:
        self.by, self.space = list(by), space
        self.rows = 0
        self._combine = combine or (lambda block: block)
        self._held: list[pl.DataFrame] = []
        self._bytes = 0.0
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._path, self._blocks = Path(), 0  # the file that is being written, and how many it has
        self._runs: list[Run] = []
        self._lent: set[Path] = set()  # files that others read, too

    def add(self, frame: pl.DataFrame) -> None:
        """Rows in any order; they are held, and become a run when they are too many."""
        self.rows += len(frame)
        self._held.append(frame)
        self._bytes += frame.estimated_size()
        if self._bytes > self.space.most:
            self.write(pl.concat(self._held).sort(self.by))
            self._held, self._bytes = [], 0.0

    def write(self, frame: pl.DataFrame) -> None:
        """One run: rows that are in order."""
        if len(frame):
            self._write([frame])

    def lend(self, run: Run) -> None:
        """A run in a file that stays."""
        self._runs.append(run)
        self._lent.add(run[0])

    def take(self, other: "Runs") -> None:
        """The runs of another, whose order is the same."""
        self._close()
        other._close()
        self._runs += other._runs
        self._lent |= other._lent
        self._held += other._held
        self._bytes += other._bytes
        self.rows += other.rows

    def merged(self) -> Iterator[pl.DataFrame]:
        """All rows in order, in blocks; equal rows of different runs are in one block."""
        last = pl.concat(self._held).sort(self.by) if self._held else None
        self._held, self._bytes = [], 0.0
        if not self._runs:
            if last is not None:
                yield self._combine(last)
            return
        if last is not None:
            self.write(last)
        del last
        self._close()
        width, readers = max(2, min(WIDTH, self.space.most // BLOCK)), dict[Path, Any]()
        while len(self._runs) > width:
            count = min(width, len(self._runs) - width + 1)
            first, self._runs = self._runs[:count], self._runs[count:]
            self._write(self._merge(first, readers))
            self._close()
        yield from self._merge(self._runs, readers)

    def _merge(self, runs: list[Run], readers: dict[Path, Any]) -> Iterator[pl.DataFrame]:
        """Some runs in order; files that only they are in are read no more then."""
        for path in {path for path, _ in runs} - readers.keys():
            readers[path] = pa.ipc.open_file(pa.OSFile(str(path)))
            if os.name == "posix" and path not in self._lent:
                path.unlink()  # what is open stays readable, and its space is free as soon as it has been read
        yield from map(
            self._combine, _merged([_Cursor(readers[path], blocks, self.by) for path, blocks in runs], self.by)
        )
        for path in {path for path, _ in runs} - {path for path, _ in self._runs}:
            del readers[path]

    def _write(self, frames: Iterable[pl.DataFrame]) -> None:
        """One run, whose rows come in order."""
        first = None
        for frame in _gathered(frames):
            whole = plain(frame)
            if self._writer is None:
                self._path, self._blocks = self.space.file(), 0
                self._writer = pa.ipc.new_file(self._path, whole.schema)
            first = self._blocks if first is None else first
            for block in blocks(whole):
                self._writer.write_batch(block)
                self._blocks += 1
        if first is not None:
            self._runs.append((self._path, range(first, self._blocks)))

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def plain(frame: pl.DataFrame) -> pa.Table:
    """Texts with their bytes in one piece."""
    table = frame.to_arrow()
    kinds = [one if pa.types.is_integer(one) else pa.large_string() for one in table.schema.types]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))


def blocks(table: pa.Table) -> list[pa.RecordBatch]:
    """A table in pieces of `BLOCK` bytes, about."""
    rows = max(1, BLOCK * len(table) // max(table.nbytes, 1))
    found: list[pa.RecordBatch] = table.combine_chunks().to_batches(rows)
    return found


class _Cursor:
    """A place in a run, and the block that it is in."""

    def __init__(self, reader: Any, blocks: range, by: Sequence[str]) -> None:
        self._reader, self._blocks, self._by = reader, list(blocks)[::-1], by
        self.load()

    def load(self) -> None:
        self.block = pl.DataFrame(pa.Table.from_batches([self._reader.get_batch(self._blocks.pop())]))
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether there is a block after this one."""
        return bool(self._blocks)

    @property
    def drained(self) -> bool:
        return self._at == len(self.block)

    def key(self, row: int) -> tuple[Any, ...]:
        return tuple(self.block[name][row] for name in self._by)

    def until(self, bound: tuple[Any, ...] | None) -> pl.DataFrame:
        """The block's rows from here to the bound, and with it; the place moves on."""
        end = len(self.block)
        if bound is not None and self.key(end - 1) > bound:
            end = bisect_right(range(end), bound, lo=self._at, key=self.key)
        found = self.block.slice(self._at, end - self._at)
        self._at = end
        return found


def _merged(cursors: list[_Cursor], by: list[str]) -> Iterator[pl.DataFrame]:
    while cursors:
        ends = [one.key(-1) for one in cursors if one.more]
        bound = min(ends, default=None)  # what lies up to it is in memory
        yield pl.concat([one.until(bound) for one in cursors]).sort(by)
        for one in cursors:
            if one.drained and one.more:
                one.load()
        cursors = [one for one in cursors if not one.drained]


def _gathered(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in frames of a block at least, but for the last."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        if sum(one.estimated_size() for one in held) >= BLOCK:
            yield pl.concat(held)
            held = []
    if held:
        yield pl.concat(held)
