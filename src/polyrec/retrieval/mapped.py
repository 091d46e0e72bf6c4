"""The items' table of an index in a file that is mapped: of it no more is read than the rows that are asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from polyrec.errors import BundleError, DataError
from polyrec.shapes import Int

ITEMS = "items.arrow"  # Arrow's own file format, as it lies in memory
EARLIER = "items.parquet"  # of an index that an earlier polyrec built: held in memory


def open_items(folder: Path) -> pa.Table:
    """The items of an index, mapped.

    Raises:
        BundleError: they are not there, or are damaged.
    """
    path = folder / ITEMS
    try:
        if not path.exists() and (folder / EARLIER).exists():
            return pq.read_table(folder / EARLIER)
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as reason:
        raise BundleError(f"{path} is damaged: {reason}. Build the index again with `polyrec index`.") from reason


def picked(items: pa.Table, rows: Int[np.ndarray, "M"]) -> pa.Table:
    """Rows of a table by their numbers, in that order; of a mapped table those alone are read.

    `Table.take` joins the blocks of a text column in memory first.

    Example:
        >>> items = pa.concat_tables([pa.table({"item": ["x", "y"]}), pa.table({"item": ["z"]})])
        >>> picked(items, np.array([2, 0, 2])).to_pydict()
        {'item': ['z', 'x', 'z']}
    """
    order = np.argsort(rows, kind="stable")
    blocks = items.to_batches()
    starts = np.cumsum([0, *(one.num_rows for one in blocks)])
    cuts = np.searchsorted(rows[order], starts)
    parts = [
        blocks[place].take(pa.array(rows[order[cuts[place] : cuts[place + 1]]] - starts[place]))
        for place in np.flatnonzero(cuts[1:] > cuts[:-1]).tolist()
    ]
    back = np.empty(len(rows), np.int64)
    back[order] = np.arange(len(rows))
    return pa.Table.from_batches(parts, items.schema).combine_chunks().take(pa.array(back))


def found(items: pa.Table, key: str, asked: Sequence[Any] | pa.Array | pa.ChunkedArray) -> Int[np.ndarray, "M"]:
    """The rows of items by their keys, block by block; -1 where an item is not here.

    Raises:
        DataError: keys of another type than the items'.
    """
    dtype = pl.Series(items[key].slice(0, 0)).dtype
    try:
        keys = pl.Series(asked).cast(dtype)
    except pl.exceptions.PolarsError as reason:
        raise DataError(f"item keys of another type than column {key!r} of the index: {reason}.") from reason
    coded = keys.to_arrow().cast(items.schema.field(key).type).dictionary_encode()
    rows, first = np.full(len(coded.dictionary) + 1, -1), 0  # the last one is that of null
    for block in items.select([key]).to_batches():
        places = pc.index_in(block.column(0), value_set=coded.dictionary)
        here = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False))
        rows[places.drop_null().to_numpy()] = first + here
        first += block.num_rows
    return np.asarray(rows[pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)])
