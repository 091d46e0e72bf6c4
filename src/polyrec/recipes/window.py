"""The last periods of some rows, by their time."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.data.files import Source
from polyrec.data.where import Between, Both
from polyrec.errors import ConfigError
from polyrec.shapes import Float

Period = Literal["hour", "day", "week"]
SECONDS: dict[str, int] = {"hour": 3_600, "day": 86_400, "week": 604_800}
_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_SINCE = 100_000_000  # 1973, in seconds: a count since 1970 is larger, and smaller than 1,000 times as much


def last_periods(source: Source, column: str | None, count: int, period: Period | float) -> Source:
    """The rows of the last `count` periods, counted back from the latest row.

    Raises:
        ConfigError: no time column, or one of which a named period has no length.

    Example:
        ```python
        week = last_periods(prepared.splits.train, "time_ms", 7, "day")
        ```
    """
    if column is None:
        raise ConfigError("[transfer] window needs the time's column. Add time = ... to [keys], or remove window.")
    latest = max((one for one in _latest(source, column) if one is not None), default=None)
    if latest is None:
        return source
    low = latest - count * length(period, source.columns()[column], latest, column)
    if isinstance(low, int):
        low += 1  # the latest row itself is in the last period
    within = Between(column, low)
    return source.filtered(within if source.where is None else Both(source.where, within))


def length(period: Period | float, kind: pa.DataType, value: int | float, column: str) -> int | float:
    """A period in a time column's own units; numbers since 1970 are told from others by their size.

    Example:
        >>> length("day", pa.int64(), 1_704_067_200_831, "time_ms")
        86400000
    """
    if not isinstance(period, str):
        return int(period) if float(period).is_integer() else period
    if pa.types.is_timestamp(kind):
        return SECONDS[period] * _UNITS[kind.unit]
    if pa.types.is_date32(kind):
        if period == "hour":
            raise ConfigError(f'[transfer] period = "hour": column {column!r} holds whole days. Set "day" or "week".')
        return SECONDS[period] // 86_400
    if pa.types.is_date64(kind):
        return SECONDS[period] * 1_000
    for unit in (1, 1_000, 1_000_000, 1_000_000_000):
        if _SINCE * unit < value <= 1_000 * _SINCE * unit:
            return SECONDS[period] * unit
    raise ConfigError(
        f"[transfer] period = {period!r}: column {column!r} is no time since 1970 (its last value is {value}). "
        "Give the period as a number in the column's own units, for example period = 1."
    )


def stored(column: pa.ChunkedArray, name: str) -> Float[np.ndarray, "B"]:
    """Times as the numbers that are stored, exact to a microsecond or so; NaN where there is none.

    Example:
        >>> stored(pa.chunked_array([pa.array([86_400, None], pa.timestamp("s"))]), "time").tolist()
        [86400.0, nan]
    """
    return np.asarray(_numbers(column, name).cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _numbers(column: Any, name: str) -> Any:
    """A column or a value of it as the numbers that are stored."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_temporal(kind)):
        raise ConfigError(f"[transfer]: time column {name!r} has type {kind}. Store it as numbers or times.")
    return column.cast(pa.int32() if kind.bit_width == 32 else pa.int64()) if pa.types.is_temporal(kind) else column


def _latest(source: Source, column: str) -> list[Any]:
    """Each block's latest time, as the number that is stored."""
    return [_numbers(pc.max(table[column]), column).as_py() for table in source.tables([column])]
