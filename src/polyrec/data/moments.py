"""Moments of a time column in one unit, whatever the files store."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

MICRO = 1_000_000
_DAY = 86_400 * MICRO
_START = datetime(1970, 1, 1, tzinfo=UTC)


def micros(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Dates and times as whole microseconds since 1970; nulls stay.

    Example:
        >>> micros(pa.array([date(1970, 1, 2)])).to_pylist(), micros(pa.array([5], pa.timestamp("ms"))).to_pylist()
        ([86400000000], [5000])
    """
    kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("ms"))
    return column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())


def times(column: pa.ChunkedArray) -> np.ndarray:
    """Moments as numbers or texts that keep their order: dates and times in microseconds; null and NaN left out."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    column = column.drop_null()
    found: np.ndarray = (micros(column) if pa.types.is_temporal(column.type) else column).to_numpy()
    if found.dtype == object:
        return found.astype(np.str_)
    return found[~np.isnan(found)] if found.dtype.kind == "f" else found


def usual(values: np.ndarray) -> tuple[Any, Any]:
    """First and last of some moments when a hundredth at either end, one at least, is left out.

    Example:
        >>> usual(np.array([3, 1, 2, 10**9]))
        (2, 3)
    """
    ordered = np.sort(values)
    least = min(-(-len(ordered) // 100), (len(ordered) - 1) // 2)
    return ordered[least].item(), ordered[len(ordered) - 1 - least].item()


def iso(value: float) -> str:
    """Microseconds since 1970 as ISO text.

    Raises:
        OverflowError: beyond the year 9999.

    Example:
        >>> iso(86_400_000_000)
        '1970-01-02T00:00:00'
    """
    return (_START + timedelta(microseconds=int(value))).replace(tzinfo=None).isoformat()


def shown(value: Any, kind: pa.DataType | None) -> str:
    """A moment as a person writes it.

    Example:
        >>> shown(19_723 * 86_400_000_000, pa.date32()), shown(1_700_000_000_000, pa.int64())
        ('2024-01-01', '1700000000000')
    """
    if isinstance(value, str | date):
        return str(value)
    if kind is None or not pa.types.is_temporal(kind):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
    try:
        text = iso(value)
    except OverflowError:
        return f"{value / _DAY / 365.2425 + 1970:.0f}"
    return text[:10] if value % _DAY == 0 else text[:16].replace("T", " ")
