"""What does not fit in memory, in sorted runs on disk that are merged block by block."""

import errno
import os
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
import pyarrow as pa

from polyrec.errors import ConfigError, NotReadyError

MEMORY = "POLYREC_VOCABULARY_MB"  # what counting values and holding those that are known may take, about
DEFAULT = 2_048
BLOCK = 2**18  # bytes of a run that are held while runs are merged
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SHARE = 6  # sorting, merging and handing on take so many times what is sorted


def held_at_most() -> int:
    """Bytes of values that are held before they go to disk: a sixth of POLYREC_VOCABULARY_MB, for sorting takes more.

    Raises:
        ConfigError: the variable is not a number above 0.
    """
    text = os.environ.get(MEMORY, str(DEFAULT))
    try:
        bytes_ = int(float(text) * 1e6)
    except (ValueError, OverflowError):
        bytes_ = 0
    if bytes_ < 1:
        raise ConfigError(f"{MEMORY} = {text!r} must be a number of megabytes above 0, for example {DEFAULT}.")
    return max(bytes_ // _SHARE, 1)


class Space:
    """A folder below TMPDIR, made when it is first needed and removed with what is in it when the block ends.

    Raises:
        NotReadyError: at the end of a block in which the disk was full.

    Example:
        >>> with Space() as space:
        ...     _ = space.file().write_text("run")
        ...     folder = space.folder
        >>> folder.exists()
        False
    """

    def __init__(self) -> None:
        self.most = held_at_most()
        self._made: Path | None = None
        self._files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)
        if isinstance(reason, OSError) and reason.errno in _FULL:
            raise NotReadyError(
                f"values that do not fit in memory cannot be written to {tempfile.gettempdir()}: {reason}. Set TMPDIR "
                f"to a folder with more space, raise {MEMORY} (now {os.environ.get(MEMORY, DEFAULT)}), or give "
                "features with many values min_count or hash in the schema."
            ) from reason

    @property
    def folder(self) -> Path:
        """Where it is."""
        if self._made is None:
            self._made = Path(tempfile.mkdtemp(prefix="polyrec-"))
        return self._made

    def file(self) -> Path:
        """A path that nothing has been written to."""
        self._files += 1
        return self.folder / str(self._files)


class Runs:
    """Frames in one order, however many: sorted runs in a file, merged with a block of each in memory.

    Args:
        by: columns that order them, rising.
        space: where they lie.

    Example:
        >>> with Space() as space:
        ...     runs = Runs(["value"], space)
        ...     for part in ([3, 9], [1, 4]):
        ...         runs.write(pl.DataFrame({"value": part}))
        ...     [one for block in runs.merged() for one in block["value"]]
        [1, 3, 4, 9]
    """

    def __init__(self, by: Sequence[str], space: Space) -> None:
        self.by, self.space = list(by), space
        self.rows = 0
        self._held: list[pl.DataFrame] = []
        self._bytes = 0.0
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._path, self._blocks = Path(), 0  # the file that is being written, and how many it has
        self._runs: list[tuple[Path, range]] = []

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
        if not len(frame):
            return
        whole = _plain(frame.to_arrow())
        rows = max(1, BLOCK * len(frame) // max(whole.nbytes, 1))
        if self._writer is None:
            self._path, self._blocks = self.space.file(), 0
            self._writer = pa.ipc.new_file(self._path, whole.schema)
        first = self._blocks
        for block in whole.combine_chunks().to_batches(rows):
            self._writer.write_batch(block)
            self._blocks += 1
        self._runs.append((self._path, range(first, self._blocks)))

    def take(self, other: "Runs") -> None:
        """The runs of another, whose order is the same."""
        self._close()
        other._close()
        self._runs += other._runs
        self._held += other._held
        self._bytes += other._bytes
        self.rows += other.rows

    def merged(self) -> Iterator[pl.DataFrame]:
        """All rows in order, in blocks; equal rows of different runs are in one block."""
        last = pl.concat(self._held).sort(self.by) if self._held else None
        self._held, self._bytes = [], 0.0
        if not self._runs:
            if last is not None:
                yield last
            return
        if last is not None:
            self.write(last)
        del last
        self._close()
        readers = {path: pa.ipc.open_file(pa.OSFile(str(path))) for path in {path for path, _ in self._runs}}
        for path in readers if os.name == "posix" else ():
            path.unlink()  # what is open stays readable, and its space is free as soon as it has been read
        yield from _merged([_Cursor(readers[path], blocks, self.by) for path, blocks in self._runs], self.by)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


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


def _plain(table: pa.Table) -> pa.Table:
    """Texts with their bytes in one piece."""
    kinds = [one if pa.types.is_integer(one) else pa.large_string() for one in table.schema.types]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))
