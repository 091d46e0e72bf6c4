"""Rows whose other half is missing: few are left out and counted, many mean that the files do not belong together."""

from pathlib import Path

import polars as pl

from polyrec.errors import DataError

MOST = 0.01  # of a block's rows


def matched(rows: pl.DataFrame, key: str, side: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The rows whose key the side has.

    Raises:
        DataError: more than a hundredth of the rows have none.

    Example:
        >>> rows = pl.DataFrame({"user": [1] * 199 + [2]})
        >>> len(matched(rows, "user", pl.DataFrame({"user": [1]}), Path("log.csv")))
        199
    """
    there = pl.col(key).is_in(side[key].implode())
    kept = rows.filter(there)
    lost = len(rows) - len(kept)
    if lost > MOST * len(rows):
        raise DataError(
            f"{path}: {key} {rows.filter(~there)[key][0]!r}, and {lost:,} of {len(rows):,} rows in all, have no "
            "partner in the other file. The files are not of one download: get them again together."
        )
    return kept
