"""Some row groups that follow each other in one or several files, read as all of the files are."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa

from polyrec.data.files import Source
from polyrec.data.footers import Footers
from polyrec.data.pieces import Piece
from polyrec.data.places import Place
from polyrec.data.where import Where


@dataclass(frozen=True)
class Slice(Source):
    """A part of some files, with the types that the columns have over all files that belong together.

    Example:
        >>> import tempfile, pyarrow.parquet as pq
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "log.parquet"
        >>> pq.write_table(pa.table({"item": pa.array([1, 2, 3, 4], pa.int32())}), path, row_group_size=1)
        >>> part = Slice((path,), whole=pa.schema({"item": pa.int64()}), groups=(1, 3))
        >>> part.rows(), pa.concat_tables(part.tables()).to_pydict(), str(part.columns()["item"])
        (2, {'item': [2, 3]}, 'int64')
    """

    whole: pa.Schema | None = None  # the columns of all files
    groups: tuple[int, int] | None = None  # from a row group of the first file, to one of the last; all where None
    first: int = 0  # the number of the first row among those of all files
    kept: tuple[int, ...] | None = None  # how many rows of each piece meet the condition, where that is known

    @cached_property
    def _footers(self) -> Footers:
        return Footers(self.paths, self.texts, self.whole, self.groups)

    @cached_property
    def _pieces(self) -> tuple[Piece, ...]:
        found = self._footers.pieces
        shift = self.first - found[0].first if found else 0
        return tuple(replace(one, first=one.first + shift) for one in found)

    @cached_property
    def _kept(self) -> tuple[int, ...]:
        return super()._kept if self.kept is None else self.kept

    def filtered(self, where: Where) -> "Slice":
        """The rows of the same part that meet `where`; they are counted anew."""
        return replace(self, where=where, kept=None)


def cut(source: Source, least: int) -> Iterator[Slice]:
    """All rows of a source in order, in parts of row groups that follow each other.

    Args:
        source: rows that meet a condition; row groups without any are left out at the ends of a part.
        least: rows of a part, but of the last; a part ends with the row group that makes them up.

    Example:
        >>> import tempfile, pyarrow.parquet as pq
        >>> from pathlib import Path
        >>> folder, parts = Path(tempfile.mkdtemp()), range(2)
        >>> for part in parts:
        ...     pq.write_table(pa.table({"row": range(5 * part, 5 * part + 5)}), folder / f"{part}", row_group_size=2)
        >>> [one.rows() for one in cut(Source(tuple(folder / f"{part}" for part in parts)), 6)]
        [7, 3]
    """
    held: list[tuple[Piece, int]] = []
    total = 0
    for piece, rows in zip(source.pieces(), source.counts(), strict=True):
        if rows or held:
            held.append((piece, rows))
        total += rows
        if total >= least:
            yield _part(source, held)
            held, total = [], 0
    while held and not held[-1][1]:
        held.pop()
    if held:
        yield _part(source, held)


def _part(source: Source, held: list[tuple[Piece, int]]) -> Slice:
    (first, _), (last, _) = held[0], held[-1]
    return Slice(
        tuple(_files(piece for piece, _ in held)),
        source.where,
        source.texts,
        pa.schema(list(source.columns().items())),
        (first.group or 0, -1 if last.group is None else last.group + 1),
        first.first,
        tuple(rows for _, rows in held),
    )


def _files(pieces: Iterable[Piece]) -> Iterator[Place]:
    """The file of each piece once, and again where the source names it again: then its row groups begin anew."""
    path, group = None, -1
    for one in pieces:
        if one.path != path or one.group is None or one.group <= group:
            yield one.path
        path, group = one.path, -1 if one.group is None else one.group
