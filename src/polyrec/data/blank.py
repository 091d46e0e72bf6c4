"""Features that say nothing in any row."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from polyrec.data.files import Source


def blank(source: Source, names: Sequence[str]) -> list[str]:
    """Which columns are null, NaN or infinite in every row; reads no further than until each has shown a value.

    Example:
        >>> import tempfile, pyarrow.parquet as pq
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "rows.parquet"
        >>> pq.write_table(pa.table({"price": [float("nan"), None], "brand": [None, "a"]}), path)
        >>> blank(Source((path,)), ["price", "brand"])
        ['price']
    """
    left = list(names)
    for place in range(len(source.counts())):
        for table in source.read(place, tuple(left)) if left else ():
            left = [name for name in left if not _says(table[name])]
            if not left:
                return []
    return left


def _says(column: pa.ChunkedArray) -> bool:
    """Whether a column has a value."""
    if pa.types.is_floating(column.type):
        return bool(pc.any(pc.is_finite(column)).as_py())
    return bool(column.null_count < len(column))
