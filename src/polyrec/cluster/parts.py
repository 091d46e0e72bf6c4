"""What is scored as one: row groups of a file that follow each other; and the file that their scores go to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from polyrec.data.ahead import mapped
from polyrec.data.commas import is_csv
from polyrec.data.footers import open_pieces
from polyrec.data.places import THREADS, Address, Place, place
from polyrec.data.slices import Slice

ROWS = 1_000_000  # of a part at least, where its file has as many


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the input, by its number among all."""

    number: int
    path: str
    first: int  # row groups: from, to; -1 of a CSV file, which is one part
    last: int
    size: int | None = None  # what is known of the file, which a worker need not ask for again
    changed: int | None = None

    @property
    def file(self) -> str:
        """The name of the file with its scores; in the order of names, files are in the order of the input."""
        return f"part-{self.number:08d}.parquet"

    def rows(self, schema: pa.Schema, texts: frozenset[str]) -> Slice:
        """Its rows, with the columns of all files."""
        groups = None if self.first < 0 else (self.first, self.last)
        return Slice((place(self.path, self.size, self.changed),), texts=texts, whole=schema, groups=groups)


def parts(paths: Sequence[Place], schema: pa.Schema, least: int = ROWS) -> Iterator[Part]:
    """All rows of the files in order, cut where a row group ends: the same parts for the same files.

    Args:
        paths: the files.
        schema: their columns.
        least: rows of a part, but of the last one of its file; a part ends with the row group that makes them up.

    Example:
        >>> import tempfile, pyarrow.parquet as pq
        >>> from pathlib import Path
        >>> path, table = Path(tempfile.mkdtemp()) / "log.parquet", pa.table({"item": range(10)})
        >>> pq.write_table(table, path, row_group_size=2)
        >>> [(one.file, one.first, one.last) for one in parts([path], table.schema, least=3)]
        [('part-00000000.parquet', 0, 2), ('part-00000001.parquet', 2, 4), ('part-00000002.parquet', 4, 5)]
    """
    number = 0
    threads = THREADS if any(isinstance(one, Address) for one in paths) else 1
    for path, cuts in zip(paths, mapped(partial(_cut, schema=schema, least=least), paths, threads), strict=True):
        told = (path.size, path.changed) if isinstance(path, Address) else (None, None)
        for first, last in cuts:
            yield Part(number, str(path), first, last, *told)
            number += 1


def _cut(path: Place, schema: pa.Schema, least: int) -> list[tuple[int, int]]:
    return [(-1, -1)] if is_csv(path) else list(_groups(path, schema, least))


def _groups(path: Place, schema: pa.Schema, least: int) -> Iterator[tuple[int, int]]:
    first, last, rows = 0, 0, 0
    for piece in open_pieces((path,), schema):
        assert piece.group is not None
        last, rows = piece.group + 1, rows + piece.rows
        if rows >= least:
            yield first, last
            first, rows = last, 0
    if rows:
        yield first, last
