"""Row groups of parquet files and whole CSV files: what can be read on its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.data import places
from polyrec.data.commas import first_line, read_csv
from polyrec.data.keys import is_text, streamed
from polyrec.data.parquet import damaged, metadata
from polyrec.data.places import Address, Place, opened
from polyrec.data.versions import check_same, known
from polyrec.errors import DataError, PolyrecError

BLOCK = 65_536  # rows read at a time
_PAGES = 2**18  # bytes of a column chunk that are buffered at a time


@dataclass(frozen=True, slots=True)
class Piece:
    """A row group of a parquet file, or a CSV file. `first`: the number of its first row among all files."""

    path: Place
    group: int | None
    rows: int
    first: int


def read_piece(piece: Piece, columns: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    """Stream the rows of a piece, whole in number and order, texts as dictionaries.

    Of a file by its address the bytes of the columns are asked for at once; where that fails half-way it is tried
    again three times, from the row that comes next, if it is still the same file.

    Raises:
        DataError: the file is damaged, is not UTF-8, has changed, or its system cannot be reached.
    """
    if not columns:
        yield from _blank(piece.rows)
        return

    path = known(piece.path)
    piece = replace(piece, path=path)

    def read() -> Iterator[pa.Table]:
        if piece.group is None:
            return read_csv(piece.path, columns, schema)
        return _read_parquet(piece, piece.group, columns, schema)

    yield from patiently(read, path) if isinstance(path, Address) else read()


def patiently(read: Callable[[], Iterator[pa.Table]], path: Address) -> Iterator[pa.Table]:
    """The rows that `read` streams; where it breaks off, it is begun anew and what has been streamed is left out.

    What is known of the file must still hold then: half of one version and half of another are no rows of anyone's.
    """
    done, broken = 0, False
    for wait in (*places.WAITS, None):
        try:
            if broken:
                check_same(path)
            for table in after(read(), done):
                done += table.num_rows
                yield table
            return
        except (PolyrecError, pa.ArrowNotImplementedError) as reason:
            if isinstance(reason, DataError):
                _blame_change(path, reason)
            raise
        except Exception as reason:
            broken = True
            places.pause(wait, path, reason)


def _blame_change(path: Address, reason: DataError) -> None:
    """What does not read may be another file than the one whose footer was read."""
    try:
        check_same(path)
    except DataError as changed:
        raise changed from reason
    except Exception:  # the system fails, too: what is known is the first reason
        return


def after(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The stream without its first rows."""
    for table in tables:
        if rows < table.num_rows:
            yield table.slice(rows) if rows else table
        rows = max(rows - table.num_rows, 0)


def _blank(rows: int) -> Iterator[pa.Table]:
    for start in range(0, rows, BLOCK):
        yield pa.table({"": pa.nulls(min(BLOCK, rows - start))})


def _read_parquet(piece: Piece, group: int, columns: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    texts = [name for name in columns if is_text(schema.field(name).type)]
    target = streamed(columns, schema)
    far = isinstance(piece.path, Address)
    known = metadata(piece.path)
    try:
        with (
            opened(piece.path) as source,
            pq.ParquetFile(
                source, metadata=known, read_dictionary=texts, buffer_size=0 if far else _PAGES, pre_buffer=far
            ) as file,
        ):
            for batch in file.iter_batches(BLOCK, row_groups=[group], columns=list(columns)):
                yield _conform(pa.Table.from_batches([batch]).select(columns), target)
    except (pa.ArrowInvalid, OSError) as reason:
        if far and not isinstance(reason, pa.ArrowInvalid) and "deserialize" not in first_line(reason):
            raise
        raise damaged(piece.path, reason) from reason


def _conform(table: pa.Table, target: pa.Schema) -> pa.Table:
    return table if table.schema.types == target.types else table.cast(target)
