"""Rows on disk: files in an order, a condition on their rows, and streams of them in bounded memory."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from polyrec.data import where as conditions
from polyrec.data.pieces import Piece, is_csv, open_pieces, read_piece, schema_of
from polyrec.data.where import Where
from polyrec.errors import DataError, together, unknown

_PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip", ".lz4")


def expand(patterns: Sequence[str | Path]) -> tuple[Path, ...]:
    """Paths that match, pattern by pattern, each pattern's in the order of their names, each path once.

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
    found: dict[Path, Path] = {}  # by where it really is
    for pattern in map(str, patterns):
        paths = [Path(pattern)] if Path(pattern).exists() else _matching(Path(pattern))
        if not paths:
            what = "matches no file" if any(sign in pattern for sign in "*?[") else "does not exist"
            raise DataError(f"{pattern} {what}. Check the path; it is relative to the run file or to where you are.")
        for path in paths:
            if path.is_dir():
                raise DataError(f"{path} is a folder; name the files in it, for example {path}/*.parquet.")
            if path.suffix.lower() in _PACKED:
                raise DataError(
                    f"{path} is compressed. Unpack it, for example with gzip -d, or store the rows as parquet, which "
                    "is compressed within."
                )
            found.setdefault(Path(os.path.normpath(path.absolute())), path)
    if not found:
        raise DataError("no file is named. Name at least one parquet or CSV file.")
    return tuple(found.values())


def _matching(pattern: Path) -> list[Path]:
    root = Path(pattern.anchor)
    return sorted(root.glob(str(pattern.relative_to(pattern.anchor))))


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

    paths: tuple[Path, ...]
    where: Where | None = None
    texts: frozenset[str] = frozenset()  # columns that are text in a CSV file, whatever their values look like

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
        return sum(self._kept)

    def counts(self) -> tuple[int, ...]:
        """How many rows of each row group (or CSV file) meet the condition."""
        return self._kept

    def pieces(self) -> tuple[Piece, ...]:
        """Row groups and CSV files in order, as `counts` has them."""
        return self._pieces

    def read(self, place: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of one row group that meet the condition, by its place among `counts`."""
        return self._stream(self._pieces[place], tuple(columns))

    def filtered(self, where: Where) -> "Source":
        """The rows of the same files that meet `where`."""
        return replace(self, where=where)

    def as_text(self, names: Iterable[str]) -> "Source":
        """The same rows, where CSV files' values of these columns are text: `7` is no number in a list of ids."""
        if not any(map(is_csv, self.paths)):
            return self  # with what it has counted
        return replace(self, texts=self.texts | frozenset(names))

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
                yield from _after(self.read(place, names), start_row)
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
        paths = tuple(Path(path) for path in values["paths"])
        condition = None if where is None else conditions.from_dict(where)
        return cls(paths, condition, frozenset(values.get("texts", ())))

    @cached_property
    def _schema(self) -> pa.Schema:
        return schema_of(self.paths, self.texts)

    @cached_property
    def _pieces(self) -> tuple[Piece, ...]:
        pieces = open_pieces(self.paths, self._schema)
        if not any(piece.rows for piece in pieces):
            raise DataError(f"{', '.join(map(str, self.paths))}: no rows. Check how the log was written.")
        return pieces

    @cached_property
    def _kept(self) -> tuple[int, ...]:
        """Rows of each piece that meet the condition."""
        if self.where is None:
            return tuple(piece.rows for piece in self._pieces)
        self.require(self.where.columns)
        return tuple(self._count(piece) for piece in self._pieces)

    def _count(self, piece: Piece) -> int:
        verdict = self._verdict(piece)
        if verdict is not None:
            return piece.rows if verdict else 0
        assert self.where is not None
        first, total = piece.first, 0
        for table in read_piece(piece, self.where.columns, self._schema):
            total += int(self.where.mask(table, first).sum())
            first += table.num_rows
        return total

    def _verdict(self, piece: Piece) -> bool | None:
        if self.where is None:
            return True
        if not self.where.columns:
            return None
        return self.where.verdict(piece.statistics(self.where.columns), self._schema.field(self.where.columns[0]).type)

    def _stream(self, piece: Piece, names: tuple[str, ...]) -> Iterator[pa.Table]:
        """The rows of a piece that meet the condition."""
        whole = self._verdict(piece)
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


def _after(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The stream without its first rows."""
    for table in tables:
        if rows < table.num_rows:
            yield table.slice(rows) if rows else table
        rows = max(rows - table.num_rows, 0)
