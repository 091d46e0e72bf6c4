"""From files to periods: one a file (or pattern), or one a stretch of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from polyrec.data.files import Source, expand
from polyrec.data.profile import times
from polyrec.data.where import Between
from polyrec.errors import ConfigError, DataError
from polyrec.schema import Schema

SECONDS = {"hour": 3_600, "day": 86_400, "week": 604_800}


@dataclass(frozen=True, slots=True)
class Period:
    """Rows that are judged, then trained on, together. `about` changes when their files do."""

    name: str
    source: Source

    @property
    def about(self) -> dict[str, Any]:
        """Where the rows are, and what their files were like."""
        files = {str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in self.source.paths}
        where = self.source.to_dict()["where"]
        return {"files": files, "where": where}


def periods(data: Sequence[str], schema: Schema, every: str | None = None) -> list[Period]:
    """The periods in the order given, or in the order of time.

    Args:
        data: files or patterns, each one period.
        schema: names the time.
        every: cut all rows into stretches of time instead: "hour", "day", "week", or a number in the units of a time
            that is a number.

    Raises:
        ConfigError: `every` without a time, or in words for a time that is a number.
    """
    lists = [one.name for one in schema.features if one.kind in ("sequence", "vector")]
    if every is None:
        found = [Period(str(one), Source(expand([one])).as_text(lists)) for one in data]
        return [
            Period(one.source.paths[0].stem if len(one.source.paths) == 1 else one.name, one.source) for one in found
        ]
    source, column = Source(expand(data)).as_text(lists), schema.keys.time
    if column is None:
        raise ConfigError(
            "--every needs the time's column. Add time = ... to [keys] of the schema, or name a file a period."
        )
    source.require([column])
    return _cut(source, column, every)


def _cut(source: Source, column: str, every: str) -> list[Period]:
    kind = source.columns()[column]
    bounds = [(found.min(), found.max()) for table in source.tables([column]) if len(found := times(table[column]))]
    if not bounds:
        raise DataError(f"time column {column!r} is null in every row. Fill it.")
    width = _width(every, kind, column)
    low, high = min(one for one, _ in bounds), max(one for _, one in bounds)
    starts = np.arange(np.floor(low / width), np.floor(high / width) + 1) * width
    if len(starts) > 10_000:
        raise ConfigError(f"--every {every} cuts the rows into {len(starts):,} periods. Give a longer one.")
    parts = []
    for start in starts:
        first, after = _moment(start, kind), _moment(start + width, kind)
        part = source.filtered(Between(column, first, after))
        if part.rows():
            parts.append(Period(f"{column} {_shown(start, kind)}", part))
    return parts


def _width(every: str, kind: pa.DataType, column: str) -> float:
    temporal = pa.types.is_temporal(kind)
    if temporal and every in SECONDS:
        return SECONDS[every] * _per_second(kind)
    if not temporal and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        try:
            if float(every) > 0:
                return float(every)
        except ValueError:
            pass
    remedy = f"Give one of {', '.join(SECONDS)}" if temporal else "Give a number in its units, for example 86400000"
    raise ConfigError(f"--every {every} does not divide time column {column!r} of type {kind}. {remedy}.")


def _per_second(kind: pa.DataType) -> float:
    if pa.types.is_date32(kind):
        return 1 / 86_400
    return {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[getattr(kind, "unit", "ms")]


def _moment(value: float, kind: pa.DataType) -> int | float:
    return float(value) if pa.types.is_floating(kind) else int(value)  # dates and times: the stored count


def _shown(value: float, kind: pa.DataType) -> str:
    if not pa.types.is_temporal(kind):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value / _per_second(kind))
    return str(moment.date()) if moment.hour == 0 else moment.strftime("%Y-%m-%d %H:00")


def shown_time(value: Any, kind: pa.DataType | None) -> str:
    """A moment as a person writes it.

    Example:
        >>> shown_time(19_723, pa.date32())
        '2024-01-01'
    """
    if kind is None or not pa.types.is_temporal(kind) or isinstance(value, (str, date)):
        return str(value)
    return _shown(value, kind)
