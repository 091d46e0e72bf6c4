"""Row groups of parquet files and whole CSV files: what can be read on its own."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from polyrec.data.keys import is_text
from polyrec.errors import DataError

BLOCK = 65_536  # rows read at a time
_PAGES = 2**18  # bytes of a column chunk that are buffered at a time
_CSV_BYTES = 2**23
_NULLS = ["", "null", "NULL", "NaN", "nan"]  # not NA: it is a country


@dataclass(frozen=True, slots=True)
class Piece:
    """A row group of a parquet file, or a CSV file. `first`: the number of its first row among all files."""

    path: Path
    group: int | None
    rows: int
    first: int
    metadata: Any = None

    def statistics(self, columns: Sequence[str]) -> dict[str, Any]:
        """Smallest and largest value of those of the columns whose file says so."""
        if self.group is None:
            return {}
        group = self.metadata.row_group(self.group)
        found = {}
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema in columns and column.is_stats_set and column.statistics.has_min_max:
                found[column.path_in_schema] = column.statistics
        return found


def is_csv(path: Path) -> bool:
    """Whether a file is read as CSV: by its name; everything else is parquet."""
    return path.suffix.lower() in (".csv", ".tsv")


def schema_of(paths: Sequence[Path], texts: Collection[str] = ()) -> pa.Schema:
    """The columns of the files, with types that hold every file's values.

    A CSV file does not say its types: they are those of its first 8 MB, with `007` as text.

    Args:
        paths: the files.
        texts: columns that are text in CSV files, whatever their values look like.

    Raises:
        DataError: a file cannot be read, lacks a column that the first has, or has a type that does not go with it.
    """
    schemas = [_schema(path, texts) for path in paths]
    first = schemas[0]
    for path, one in zip(paths, schemas, strict=True):
        twice = sorted({name for name in one.names if one.names.count(name) > 1})
        if twice:
            raise DataError(f"{path} has more than one column {twice[0]!r}. Give each column a name of its own.")
    for path, other in zip(paths[1:], schemas[1:], strict=True):
        apart = sorted(set(first.names) ^ set(other.names))
        if apart:
            raise DataError(
                f"{path} and {paths[0]} differ in columns: {', '.join(apart)}. Write the same columns to every file."
            )
    try:
        merged = pa.unify_schemas(schemas, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as reason:
        raise DataError(_differing(paths, schemas)) from reason
    return pa.schema([merged.field(name) for name in first.names])


def open_pieces(paths: Sequence[Path], schema: pa.Schema) -> tuple[Piece, ...]:
    """What can be read on its own, in the order of the files; empty pieces are left out."""
    pieces: list[Piece] = []
    first = 0
    for path in paths:
        for piece in _csv_piece(path, first, schema) if is_csv(path) else _groups(path, first):
            first += piece.rows
            if piece.rows:
                pieces.append(piece)
    return tuple(pieces)


def _csv_piece(path: Path, first: int, schema: pa.Schema) -> Iterator[Piece]:
    yield Piece(path, None, sum(table.num_rows for table in _read_csv(path, schema.names[:1], schema)), first)


def _groups(path: Path, first: int) -> Iterator[Piece]:
    metadata = _metadata(path)
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        yield Piece(path, group, rows, first, metadata)
        first += rows


def read_piece(piece: Piece, columns: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    """Stream the rows of a piece, whole in number and order, texts as dictionaries.

    Raises:
        DataError: the file is damaged, or is not UTF-8.
    """
    if not columns:
        yield from _blank(piece.rows)
    elif piece.group is None:
        yield from _read_csv(piece.path, columns, schema)
    else:
        yield from _read_parquet(piece, columns, schema)


def _blank(rows: int) -> Iterator[pa.Table]:
    for start in range(0, rows, BLOCK):
        yield pa.table({"": pa.nulls(min(BLOCK, rows - start))})


def _read_parquet(piece: Piece, columns: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    texts = [name for name in columns if is_text(schema.field(name).type)]
    target = pa.schema([_target(schema.field(name), name in texts) for name in columns])
    try:
        with pq.ParquetFile(
            piece.path, metadata=piece.metadata, read_dictionary=texts, buffer_size=_PAGES, pre_buffer=False
        ) as file:
            for batch in file.iter_batches(BLOCK, row_groups=[piece.group], columns=list(columns)):
                yield _conform(pa.Table.from_batches([batch]).select(columns), target)
    except (pa.ArrowInvalid, OSError) as reason:
        raise _damaged(piece.path, reason) from reason


def _target(field: pa.Field, text: bool) -> pa.Field:
    raw = pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
    kind = pa.dictionary(pa.int32(), pa.binary() if raw else pa.string())
    return pa.field(field.name, kind if text else field.type)


def _conform(table: pa.Table, target: pa.Schema) -> pa.Table:
    return table if table.schema.types == target.types else table.cast(target)


def _read_csv(path: Path, columns: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    kinds = {name: schema.field(name).type for name in columns}
    try:
        with csv.open_csv(path, _options(), _parsing(path), _converting(kinds, columns)) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as reason:
        raise _not_csv(path, reason) from reason


def _schema(path: Path, texts: Collection[str]) -> pa.Schema:
    if not is_csv(path):
        fields = _metadata(path).schema.to_arrow_schema()
        return pa.schema([(one.name, _decoded(one.type)) for one in fields])
    try:
        with csv.open_csv(path, _options(), _parsing(path), _converting({}, ())) as reader:
            _refuse_one_wide(path, reader.schema.names)
            kinds = {one.name: _csv_type(one, path) for one in reader.schema}
            numbers = [name for name, kind in kinds.items() if pa.types.is_integer(kind) and name not in texts]
            kinds |= dict.fromkeys([*_padded(path, numbers), *(name for name in texts if name in kinds)], pa.string())
            return pa.schema([(one.name, kinds[one.name]) for one in reader.schema])
    except FileNotFoundError as reason:
        raise DataError(f"{path} does not exist. Check the path.") from reason
    except (pa.ArrowInvalid, OSError) as reason:
        raise _not_csv(path, reason) from reason


def _refuse_one_wide(path: Path, names: Sequence[str]) -> None:
    """A file whose values are parted by another sign would be one column of all of them."""
    sign = next((sign for sign in ";\t|" if len(names) == 1 and sign in names[0]), None)
    if sign is not None:
        raise DataError(
            f"{path} would be one column, {names[0][:60]!r}: its values seem to be parted by {sign!r}. "
            "Part them by commas (.csv) or tabs (.tsv), or store the rows as parquet."
        )


def _padded(path: Path, names: Sequence[str]) -> list[str]:
    """Columns of whole numbers that are ids of a fixed width: the first rows have a value like 007."""
    if not names:
        return []
    kinds = dict.fromkeys(names, pa.string())
    with csv.open_csv(path, _options(), _parsing(path), _converting(kinds, names)) as reader:
        first = next(iter(reader), None)
    if first is None:
        return []
    return [name for name in names if pc.any(pc.match_substring_regex(first[name], r"^[-+]?0\d")).as_py()]


def _csv_type(field: pa.Field, path: Path) -> pa.DataType:
    if pa.types.is_binary(field.type):  # what the reader makes of text that is not UTF-8
        raise _not_csv(path, ValueError(f"not UTF-8 in column {field.name!r}"))
    # A column without values so far may hold any: text does.
    return pa.string() if pa.types.is_null(field.type) else field.type


def _decoded(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _converting(kinds: Mapping[str, pa.DataType], columns: Sequence[str]) -> csv.ConvertOptions:
    return csv.ConvertOptions(
        column_types=kinds, include_columns=list(columns), strings_can_be_null=True, null_values=_NULLS
    )


def _options() -> csv.ReadOptions:
    return csv.ReadOptions(block_size=_CSV_BYTES)


def _parsing(path: Path) -> csv.ParseOptions:
    return csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",")


def _metadata(path: Path) -> pq.FileMetaData:
    try:
        found = path.stat()
    except OSError as reason:
        raise DataError(f"{path} does not exist. Check the path.") from reason
    return _cached(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=256)
def _cached(path: Path, size: int, _changed: int) -> pq.FileMetaData:
    if size == 0:
        raise DataError(f"{path} is empty (0 bytes). Write the file again.")
    try:
        return pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as reason:
        raise _damaged(path, reason) from reason


def _damaged(path: Path, reason: Exception) -> DataError:
    return DataError(
        f"{path} cannot be read as parquet: {_first_line(reason)}. It may be cut short: write the file again "
        "(files named .csv or .tsv are read as CSV)."
    )


def _not_csv(path: Path, reason: Exception) -> DataError:
    words = _first_line(reason)
    if "UTF8" in words or "UTF-8" in words:
        return DataError(f"{path} is not UTF-8 ({words}). Convert it, for example with iconv -f latin1 -t utf-8.")
    if "Empty CSV" in words:
        return DataError(f"{path} is empty. Write the file again, with a line of column names.")
    return DataError(f"{path} cannot be read as CSV: {words}. Mend the value, or store the rows as parquet.")


def _first_line(reason: Exception) -> str:
    return str(reason).splitlines()[0].rstrip(".") if str(reason) else type(reason).__name__


def _differing(paths: Sequence[Path], schemas: Sequence[pa.Schema]) -> str:
    for name in schemas[0].names:
        for path, other in zip(paths[1:], schemas[1:], strict=True):
            one, two = schemas[0].field(name).type, other.field(name).type
            try:
                pa.unify_schemas([pa.schema([(name, one)]), pa.schema([(name, two)])], promote_options="permissive")
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                return f"column {name!r} has type {one} in {paths[0]} and {two} in {path}. Write one type to all files."
    return "the files differ in the types of their columns. Write the same types to all files."
