"""Which rows validate: the same draw on every machine and in every version."""

import numpy as np
import polars as pl
import pyarrow as pa

from polyrec.data.hashing import fraction, hash_text, splitmix64


def drawn(ids: pl.Series, share: float, seed: int = 0) -> pl.Series:
    """True for about that share of the ids, by what they are and not by where they stand.

    Example:
        >>> round(drawn(pl.Series(range(10_000)), 0.1).mean(), 2)
        0.1
    """
    if ids.dtype.is_integer():
        hashes = splitmix64(ids.to_numpy().astype(np.int64))
    else:
        hashes = hash_text(ids.cast(pl.String).to_arrow().cast(pa.large_string()))
    return pl.Series(fraction(hashes, seed) < share, dtype=pl.Boolean)
