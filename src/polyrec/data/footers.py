"""What the footers of many files say, read once: their columns, what can be read on its own, and bounds of values."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.data.ahead import mapped
from polyrec.data.commas import csv_schema, is_csv
from polyrec.data.parquet import Bounds, Group, arrow_schema, groups, read_footer
from polyrec.data.pieces import Piece, read_piece
from polyrec.data.places import THREADS, Address, Place, patient
from polyrec.data.versions import known
from polyrec.errors import DataError
from polyrec.progress import Progress

NEAR = 1  # threads that read footers of local files
_TELL = 100  # files between two words of progress
T = TypeVar("T")


class Footers:
    """Columns and pieces of some files, in their order; nothing is read before it is asked for, and that once.

    Footers are read by several threads and not kept: of a row group stay its number and rows, of equal columns of
    files one copy, and of those columns that conditions ask for the smallest and largest value of each row group.

    Args:
        paths: the files.
        texts: columns that are text in CSV files, whatever their values look like.
        whole: the columns, where they are known.
        part: from a row group of the first file, to one of the last; all where None.
    """

    def __init__(
        self,
        paths: Sequence[Place],
        texts: Collection[str] = (),
        whole: pa.Schema | None = None,
        part: tuple[int, int] | None = None,
    ) -> None:
        self.paths, self.texts, self.part = paths, texts, part
        self._whole = whole
        self._found: list[tuple[Place, tuple[Group, ...] | None]] | None = None  # until the pieces are made
        self._kept: tuple[str, ...] = ()
        self._pieces: tuple[Piece, ...] | None = None
        self._bounds: dict[str, list[Bounds | None]] = {}

    def open(self, progress: Progress | None = None, columns: Sequence[str] = ()) -> None:
        """Read the footers, unless they are read; the bounds of these columns are kept.

        Raises:
            DataError: as `schema`.
        """
        if self._found is not None or self._pieces is not None:
            return
        schemas, found = _Schemas(), list[tuple[Place, tuple[Group, ...] | None]]()
        for path, one in zip(
            self.paths, _mapped(_Look(self.texts, tuple(columns), self._whole), self.paths), strict=True
        ):
            schemas.add(path, one.schema)
            found.append((one.path, one.groups))
            if progress is not None and (len(found) % _TELL == 0 or len(found) == len(self.paths)):
                progress("reading footers", len(found), len(self.paths))
        self._whole = schemas.merged() if self._whole is None else self._whole
        self._found, self._kept = found, tuple(columns)

    @property
    def schema(self) -> pa.Schema:
        """The columns of the files, with types that hold every file's values.

        A CSV file does not say its types: they are those of its first 8 MB, with `007` as text.

        Raises:
            DataError: a file cannot be read, lacks a column that the first has, or has a type that does not go with it.
        """
        if self._whole is None:
            self.open()
        return self._whole

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What can be read on its own, in the order of the files; empty pieces are left out."""
        if self._pieces is None:
            self.open()
            self._build()
        assert self._pieces is not None
        return self._pieces

    def bounds(self, place: int, column: str) -> Bounds | None:
        """Smallest and largest value of a column in the piece at that place; None where its file does not say."""
        if column not in self._bounds:
            files = [(place, path) for place, path in enumerate(self.paths) if not is_csv(path)]
            looked = zip(files, _mapped(_Look((), (column,)), [path for _, path in files]), strict=True)
            told = (one.bounds[0] for (at, _), file in looked for one in file.groups or () if self._inside(at, one))
            self._bounds[column] = [None if piece.group is None else next(told) for piece in self.pieces]
        return self._bounds[column][place]

    def _build(self) -> None:
        """From what footers say to pieces; CSV files are read through for their rows."""
        assert self._found is not None
        count = partial(_csv_rows, schema=self.schema)
        rows_of_csv = _mapped(count, [path for path, found in self._found if found is None])
        pieces: list[Piece] = []
        bounds: list[list[Bounds | None]] = [[] for _ in self._kept]
        first = 0
        for place, (path, found) in enumerate(self._found):
            for one in found if found is not None else [Group(-1, next(rows_of_csv), (None,) * len(self._kept))]:
                if one.rows and self._inside(place, one):
                    pieces.append(Piece(path, None if found is None else one.number, one.rows, first))
                    for held, bound in zip(bounds, one.bounds, strict=True):
                        held.append(bound)
                first += one.rows
        self._pieces, self._found = tuple(pieces), None
        self._bounds |= dict(zip(self._kept, bounds, strict=True))

    def _inside(self, place: int, one: Group) -> bool:
        """Whether the part has this row group of the file at that place."""
        if self.part is None or is_csv(self.paths[place]):
            return True
        first, last = self.part
        return (place > 0 or one.number >= first) and (place < len(self.paths) - 1 or one.number < last)


class _Found(NamedTuple):
    """What a file says: its columns, and its row groups that have rows; None of a CSV file."""

    path: Place  # with what is known of it
    schema: pa.Schema
    groups: tuple[Group, ...] | None


class _Look:
    """Reads footers; files that are alike share their schema."""

    def __init__(self, texts: Collection[str], columns: tuple[str, ...], whole: pa.Schema | None = None) -> None:
        self.texts, self.columns, self.whole = texts, columns, whole
        self._last: tuple[pq.FileMetaData, pa.Schema] | None = None

    def __call__(self, path: Place) -> _Found:
        if not isinstance(path, Address):
            return self._read(path)
        return patient(partial(self._read, known(path)), path)

    def _read(self, path: Place) -> _Found:
        if is_csv(path):
            return _Found(path, csv_schema(path, self.texts) if self.whole is None else self.whole, None)
        footer, last = read_footer(path), self._last
        if last is not None and last[0].schema.equals(footer.schema) and last[0].metadata == footer.metadata:
            schema = last[1]
        else:
            schema = arrow_schema(footer)
            self._last = (footer, schema)
        return _Found(path, schema, groups(footer, self.columns))


class _Schemas:
    """The different schemas of some files, each with the first file that has it."""

    def __init__(self) -> None:
        self._first: dict[pa.Schema, Place] = {}
        self._last: pa.Schema | None = None
        self._blank = pa.null()  # what a column without any value is: text where a CSV file may have some further on

    def add(self, path: Place, schema: pa.Schema) -> None:
        if schema is self._last:
            return
        self._last = schema
        if is_csv(path):
            self._blank = pa.string()
        if schema not in self._first:
            twice = sorted(name for name, count in Counter(schema.names).items() if count > 1)
            if twice:
                raise DataError(f"{path} has more than one column {twice[0]!r}. Give each column a name of its own.")
            self._first[schema] = path

    def merged(self) -> pa.Schema:
        """All values' types, in the order of the first file's columns."""
        schemas = list(self._first)
        if not schemas:
            return pa.schema([])
        names, start = schemas[0].names, self._first[schemas[0]]
        for other, path in self._first.items():
            apart = sorted(set(names) ^ set(other.names))
            if apart:
                raise DataError(
                    f"{path} and {start} differ in columns: {', '.join(apart)}. Write the same columns to every file."
                )
        try:
            merged = pa.unify_schemas(schemas, promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as reason:
            raise DataError(self._differing()) from reason
        fields = [merged.field(name) for name in names]
        return pa.schema([one.with_type(self._blank) if pa.types.is_null(one.type) else one for one in fields])

    def _differing(self) -> str:
        (one, start), *rest = self._first.items()
        for name in one.names:
            for other, path in rest:
                left, right = one.field(name).type, other.field(name).type
                try:
                    pa.unify_schemas(
                        [pa.schema([(name, left)]), pa.schema([(name, right)])], promote_options="permissive"
                    )
                except (pa.ArrowInvalid, pa.ArrowTypeError):
                    return (
                        f"column {name!r} has type {left} in {start} and {right} in {path}. "
                        "Write one type to all files."
                    )
        return "the files differ in the types of their columns. Write the same types to all files."


def _csv_rows(path: Place, schema: pa.Schema) -> int:
    whole = Piece(path, None, 0, 0)
    return sum(table.num_rows for table in read_piece(whole, schema.names[:1], schema))


def _mapped(make: Callable[[Place], T], paths: Sequence[Place]) -> Iterator[T]:
    return mapped(make, paths, THREADS if any(isinstance(one, Address) for one in paths) else NEAR)


def open_pieces(paths: Sequence[Place], schema: pa.Schema) -> tuple[Piece, ...]:
    """What can be read on its own of files whose columns are known."""
    return Footers(paths, whole=schema).pieces
