"""What building any data set needs: draws that repeat everywhere, and a file that appears whole or not at all."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.atomic import whole_file

ROW_GROUP = 65_536


def uniform(ids: pl.Series, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A number in [0, 1) for each id, the same on every machine and in every version.

    Formula: SplitMix64's mixing of id + (seed + 1) * golden gamma, its top 53 bits as a fraction.

    Example:
        >>> uniform(pl.Series([7, 7, 8]), 0).round(3).tolist()
        [0.39, 0.39, 0.619]
    """
    mixed = ids.to_numpy().astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def write(out: Path, frames: Iterable[pl.DataFrame], columns: pa.Schema) -> Path:
    """All frames, in order, as one parquet file with equal row groups; nothing is left behind on failure."""
    with whole_file(out) as part, pq.ParquetWriter(part, columns, compression="zstd") as writer:
        for table in _grouped(frames, columns):
            writer.write_table(table)
    return out


def _grouped(frames: Iterable[pl.DataFrame], columns: pa.Schema) -> Iterator[pa.Table]:
    held = pa.Table.from_pylist([], schema=columns)
    for frame in frames:
        fresh = frame.select(columns.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(columns)
        held = pa.concat_tables([held, fresh])
        while held.num_rows >= ROW_GROUP:
            yield held.slice(0, ROW_GROUP)
            held = held.slice(ROW_GROUP)
    if held.num_rows:
        yield held
