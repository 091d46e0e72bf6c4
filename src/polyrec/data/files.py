"""Rows in files: files in an order, a condition on their rows, and streams of them in bounded memory."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from polyrec.atomic import is_address
from polyrec.data import where as conditions
from polyrec.data.ahead import mapped
from polyrec.data.commas import is_csv
from polyrec.data.footers import Footers
from polyrec.data.listing import find
from polyrec.data.pieces import Piece, after, read_piece
from polyrec.data.places import THREADS, Address, Place, few
from polyrec.data.places import place as placed
from polyrec.data.where import Where
from polyrec.errors import DataError, together, unknown
from polyrec.progress import Progress

_PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip", ".lz4")


def expand(patterns: Sequence[str | Place]) -> tuple[Place, ...]:
    """Files that match, pattern by pattern, each pattern's in the order of their names, each once.

    A pattern with a scheme (`s3://bucket/day=*/*.parquet`) is looked for where its scheme says: see `places`.

    Raises:
        DataError: a pattern that matches nothing, a folder, or a compressed file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("day2.csv", "day1.csv"):
        ...     _ = (folder / name).write_text("a")
        >>> [path.name for path in expand([folder / "day*.csv"])]
        ['day1.csv', 'day2.csv']
    """
    found: dict[Place | str, Place] = {}  # by where it really is
    for pattern in patterns:
        far = is_address(pattern)
        for path in (_far if far else _near)(str(pattern)):
            if path.suffix.lower() in _PACKED:
                raise DataError(
                    f"{path} is compressed. Unpack it, for example with gzip -d, or store the rows as parquet, which "
                    "is compressed within."
                )
            found.setdefault(path if isinstance(path, Address) else os.path.normpath(path.absolute()), path)
    if not found:
        raise DataError("no file is named. Name at least one parquet or CSV file.")
    return tuple(found.values())


def _far(pattern: str) -> Sequence[Place]:
    return find(pattern) or _none(pattern, "Check the address: names are written as they are, without %-codes.")


def _near(pattern: str) -> Sequence[Place]:
    paths = [Path(pattern)] if Path(pattern).exists() else _matching(Path(pattern))
    for path in paths:
        if path.is_dir():
            raise DataError(f"{path} is a folder; name the files in it, for example {path}/*.parquet.")
    return paths or _none(pattern, "Check the path; it is relative to the run file or to where you are.")


def _none(pattern: str, remedy: str) -> Sequence[Place]:
    what = "matches no file" if any(sign in pattern for sign in "*?[") else "does not exist"
    raise DataError(f"{pattern} {what}. {remedy}")


def _matching(pattern: Path) -> list[Path]:
    root = Path(pattern.anchor)
    return sorted(root.glob(str(pattern.relative_to(pattern.anchor))), key=lambda path: path.parts)


@dataclass(frozen=True)
class Source:
    """Rows of parquet or CSV files in the order of the files, or those of them that meet a condition.

    Nothing is read before it is asked for, and no more than a few blocks of rows are held at a time.

    Example:
        >>> import tempfile, pyarrow.parquet as pq
        >>> path = Path(tempfile.mkdtemp()) / "log.parquet"
        >>> pq.write_table(pa.table({"week": [1, 2, 3], "buy": [0, 1, 0]}), path)
        >>> source = Source((path,), conditions.Between("week", 2))
        >>> source.rows(), [table["buy"].to_pylist() for table in source.tables(["buy"])]
        (2, [[1, 0]])
    """

    paths: tuple[Place, ...]
    where: Where | None = None
    texts: frozenset[str] = frozenset()  # columns that are text in a CSV file, whatever their values look like

    def open(self, progress: Progress | None = None, columns: Sequence[str] = ()) -> "Source":
        """Read the footers of all files now, and tell `progress` how many; of these columns the bounds are kept.

        Without it they are read when something is first asked for.

        Raises:
            DataError: as `columns`.
        """
        self._footers.open(progress, columns)
        return self

    def columns(self) -> dict[str, pa.DataType]:
        """Names and types of the columns, the same in every file.

        Raises:
            DataError: a file is missing, damaged, or has other columns than the first.
        """
        return {field.name: field.type for field in self._schema}

    def require(self, names: Sequence[str]) -> None:
        """Refuse rows that lack one of these columns.

        Raises:
            DataError: every missing column, those there are, and the nearest of them.
        """
        known = self.columns()
        missing = [unknown("column", name, known, f"in {self.paths[0]}") for name in names if name not in known]
        if missing:
            raise DataError(together(missing, f"the log lacks {len(missing)} of the columns asked for"))

    def rows(self) -> int:
        """How many rows meet the condition."""
        return self._rows

    def counts(self) -> tuple[int, ...]:
        """How many rows of each row group (or CSV file) meet the condition."""
        return self._kept

    def pieces(self) -> tuple[Piece, ...]:
        """Row groups and CSV files in order, as `counts` has them."""
        return self._pieces

    def read(self, place: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of one row group that meet the condition, by its place among `counts`."""
        return self._stream(place, tuple(columns))

    def filtered(self, where: Where) -> "Source":
        """The rows of the same files that meet `where`."""
        found = replace(self, where=where)
        found.__dict__["_footers"] = self._footers
        return found

    def as_text(self, names: Iterable[str]) -> "Source":
        """The same rows, where CSV files' values of these columns are text: `7` is no number in a list of ids."""
        texts = self.texts | frozenset(names)
        if texts == self.texts or not any(map(is_csv, self.paths)):
            return self  # with what it has counted
        return replace(self, texts=texts)

    def tables(self, columns: Sequence[str] | None = None, start_row: int = 0) -> Iterator[pa.Table]:
        """Stream the rows that meet the condition in order; texts come as dictionaries, each distinct one once.

        Args:
            columns: which, in this order; all where None.
            start_row: leave out so many rows that meet the condition.

        Raises:
            DataError: a column is missing, a file is damaged or has no rows.
        """
        names = tuple(self.columns() if columns is None else columns)
        self.require(names)
        for place, rows in enumerate(self._kept):
            if start_row < rows:
                yield from after(self.read(place, names), start_row)
            start_row = max(start_row - rows, 0)

    def scan(self) -> pl.LazyFrame:
        """The rows as a lazy polars frame that streams; only columns asked for are read."""
        whole = pa.schema(list(self.columns().items()))

        def read(
            names: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch: int | None
        ) -> Iterator[pl.DataFrame]:
            for table in self.tables(names):
                frame = pl.DataFrame(table.cast(pa.schema([whole.field(name) for name in table.column_names])))
                frame = frame if rows is None else frame.head(rows)
                rows = None if rows is None else rows - len(frame)
                yield frame if predicate is None else frame.filter(predicate)
                if rows == 0:
                    return

        return register_io_source(read, schema=pl.DataFrame(whole.empty_table()).schema)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `from_dict` reads them back."""
        where = None if self.where is None else conditions.to_dict(self.where)
        paths = [str(path) for path in self.paths]
        return {"paths": paths, "where": where, "texts": sorted(self.texts)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Source":
        """A source from plain values."""
        where = values["where"]
        paths = tuple(placed(path) for path in values["paths"])
        condition = None if where is None else conditions.from_dict(where)
        return cls(paths, condition, frozenset(values.get("texts", ())))

    @cached_property
    def _footers(self) -> Footers:
        return Footers(self.paths, self.texts)

    @property
    def _schema(self) -> pa.Schema:
        return self._footers.schema

    @property
    def _pieces(self) -> tuple[Piece, ...]:
        if not self._footers.pieces:
            raise DataError(f"{few(self.paths)}: no rows. Check how the log was written.")
        return self._footers.pieces

    @cached_property
    def _rows(self) -> int:
        return sum(self._kept)

    @cached_property
    def _kept(self) -> tuple[int, ...]:
        """Rows of each piece that meet the condition."""
        if self.where is None:
            return tuple(piece.rows for piece in self._pieces)
        self.require(self.where.columns)
        far = self.where.columns and any(isinstance(one, Address) for one in self.paths)
        count = partial(self._count, verdicts=self._verdicts)
        return tuple(mapped(count, range(len(self._pieces)), THREADS if far else 1))

    @cached_property
    def _verdicts(self) -> tuple[bool | None, ...]:
        """Of each piece whether all of its rows meet the condition, or none; None: look."""
        if self.where is None or not self.where.columns:
            return (self.where is None or None,) * len(self._pieces)
        kind, known = self._schema.field(self.where.columns[0]).type, self._footers.bounds
        return tuple(self.where.verdict(partial(known, number), kind) for number in range(len(self._pieces)))

    def _count(self, number: int, verdicts: Sequence[bool | None]) -> int:
        verdict, piece = verdicts[number], self._pieces[number]
        if verdict is not None:
            return piece.rows if verdict else 0
        assert self.where is not None
        first, total = piece.first, 0
        for table in read_piece(piece, self.where.columns, self._schema):
            total += int(self.where.mask(table, first).sum())
            first += table.num_rows
        return total

    def _stream(self, number: int, names: tuple[str, ...]) -> Iterator[pa.Table]:
        """The rows of a piece that meet the condition."""
        whole, piece = self._verdicts[number], self._pieces[number]
        wanted = names if whole or self.where is None else tuple(dict.fromkeys([*names, *self.where.columns]))
        first = piece.first
        for table in read_piece(piece, wanted, self._schema):
            inside = np.ones(table.num_rows, bool) if whole or self.where is None else self.where.mask(table, first)
            first += table.num_rows
            kept = table.select(names)
            if inside.all():
                yield kept
            elif inside.any():
                yield kept.filter(pa.array(inside))
