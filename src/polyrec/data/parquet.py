"""Footers of parquet files: their columns, row groups, and the smallest and largest values in these."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.data.commas import first_line
from polyrec.data.places import Address, Place, mark, opened
from polyrec.errors import DataError

KEPT = 2**22  # bytes of footers, as they lie in files, that are kept for their row groups: in memory ten times as many


class Bounds(NamedTuple):
    """Smallest and largest value of a column in a row group, and how many are null."""

    min: Any
    max: Any
    null_count: int | None


Known = Callable[[str], Bounds | None]  # of one row group, by the column


class Group(NamedTuple):
    """A row group: its number in its file, its rows, and the bounds of some columns."""

    number: int
    rows: int
    bounds: tuple[Bounds | None, ...]


def metadata(path: Place) -> pq.FileMetaData:
    """The footer of a file, to read its row groups with; those read last are at hand.

    Its `schema` must not be asked for: it and the footer would hold each other, and a dropped one stay in memory.

    Raises:
        DataError: the file is missing, empty or no parquet.
        OSError: of an address: its system fails.
    """
    size, changed = mark(path)
    key = (str(path), size, changed)
    found = _recent.get(key)
    if found is None:
        found = read_footer(path, size)
        _recent.add(key, found)
    return found


def groups(footer: pq.FileMetaData, columns: Sequence[str]) -> tuple[Group, ...]:
    """The row groups of a file that have rows, with the bounds of these columns."""
    paths = [footer.schema.column(place).path for place in range(footer.num_columns)] if columns else []
    places = [paths.index(name) if name in paths else None for name in columns]
    found = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        if group.num_rows:
            found.append(Group(number, group.num_rows, tuple(_bounds(group, place) for place in places)))
    return tuple(found)


def arrow_schema(footer: pq.FileMetaData) -> pa.Schema:
    """The columns of a file; texts as texts, however they are stored."""
    fields = footer.schema.to_arrow_schema()
    return pa.schema([(one.name, _decoded(one.type)) for one in fields])


def damaged(path: Place, reason: Exception) -> DataError:
    """Words for a file that does not read as parquet."""
    return DataError(
        f"{path} cannot be read as parquet: {first_line(reason)}. It may be cut short: write the file again "
        "(files named .csv or .tsv are read as CSV)."
    )


def read_footer(path: Place, size: int | None = None) -> pq.FileMetaData:
    """The footer of a file, which is not kept.

    Raises:
        DataError: as `metadata`.
    """
    size = mark(path)[0] if size is None else size
    if size == 0:
        raise DataError(f"{path} is empty (0 bytes). Write the file again.")
    try:
        with opened(path) as file:
            return pq.read_metadata(file)
    except (pa.ArrowInvalid, OSError) as reason:
        if isinstance(path, Address) and not isinstance(reason, pa.ArrowInvalid):
            raise
        raise damaged(path, reason) from reason


def _bounds(group: pq.RowGroupMetaData, place: int | None) -> Bounds | None:
    if place is None:
        return None
    column = group.column(place)
    if not column.is_stats_set or not column.statistics.has_min_max:
        return None
    told = column.statistics
    try:
        return Bounds(told.min, told.max, told.null_count if told.has_null_count else None)
    except (pa.ArrowException, ValueError, OverflowError):  # of a type that Python cannot show
        return None


def _decoded(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


class _Recent:
    """Footers that were asked for last, up to so many bytes."""

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0
        self._held: OrderedDict[tuple[Any, ...], pq.FileMetaData] = OrderedDict()
        self._lock = Lock()

    def get(self, key: tuple[Any, ...]) -> pq.FileMetaData | None:
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def add(self, key: tuple[Any, ...], footer: pq.FileMetaData) -> None:
        with self._lock:
            if key not in self._held:
                self._held[key] = footer
                self.bytes += footer.serialized_size
            while self.bytes > self.most and len(self._held) > 1:
                self.bytes -= self._held.popitem(last=False)[1].serialized_size


_recent = _Recent(KEPT)
