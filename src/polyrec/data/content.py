"""Rows known by what is in them, whatever file they lie in and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.data.hashing import fraction, hash_keys, splitmix64
from polyrec.data.keys import is_text, read_keys
from polyrec.data.moments import micros
from polyrec.data.numbers import read_floats
from polyrec.data.parquet import Known


def hashed(rows: pa.Table, discrete: Sequence[str], numbers: Sequence[str] = ()) -> np.ndarray:
    """A 64-bit hash of each row's values in these columns, uint64 [B].

    Dates and times hash alike in every unit, integers alike in every width.
    """
    whole = np.zeros(rows.num_rows, np.uint64)
    for name in (*discrete, *numbers):
        parts = [_hashes(chunk, name in discrete) for chunk in rows[name].chunks]
        whole = splitmix64(whole ^ np.concatenate(parts)) if parts else whole
    return whole


@dataclass(frozen=True, slots=True)
class Content:
    """Rows for which the hash of what these columns hold lies in [low, high) of [0, 1).

    Example:
        >>> rows = pa.table({"user": [7, 7, 8], "item": [1, 2, 1]})
        >>> one, two = (Content(*bounds, 1, ("user", "item")) for bounds in ((0.0, 0.5), (0.5, 1.0)))
        >>> (one.mask(rows, 0) ^ two.mask(rows, 9)).all()
        np.True_
    """

    low: float
    high: float
    seed: int
    columns: tuple[str, ...]

    def mask(self, rows: pa.Table, first: int) -> np.ndarray:  # noqa: ARG002
        """Which rows belong, bool [B]."""
        types = {name: rows.schema.field(name).type for name in self.columns}
        numbers = [name for name, kind in types.items() if pa.types.is_floating(kind)]
        place = fraction(hashed(rows, [name for name in self.columns if name not in numbers], numbers), self.seed)
        return (place >= self.low) & (place < self.high)

    def verdict(self, bounds: Known, kind: pa.DataType) -> bool | None:  # noqa: ARG002
        """No statistics tell anything about a hash."""
        return None


def _hashes(chunk: pa.Array, discrete: bool) -> np.ndarray:
    if pa.types.is_temporal(chunk.type):
        return splitmix64(pc.fill_null(micros(chunk), 0).to_numpy(zero_copy_only=False))
    if discrete or is_text(chunk.type) or pa.types.is_dictionary(chunk.type):
        return hash_keys(read_keys(chunk, "a key"))
    return splitmix64(read_floats(chunk, "a number").view(np.int64))
