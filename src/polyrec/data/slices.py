"""Some row groups of one of several files, read as all of them are."""

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from polyrec.data.files import Source
from polyrec.data.footers import Footers


@dataclass(frozen=True)
class Slice(Source):
    """A part of a file, with the types that the columns have over all files that belong together.

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
    groups: tuple[int, int] | None = None  # row groups: from, to; all where None, as of a CSV file

    @cached_property
    def _footers(self) -> Footers:
        return Footers(self.paths, self.texts, self.whole, self.groups)
