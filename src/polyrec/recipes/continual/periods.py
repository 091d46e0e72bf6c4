"""From files to periods: one a file (or pattern), or one a stretch of time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from polyrec.data.files import Source, expand
from polyrec.data.moments import MICRO, iso, shown, times
from polyrec.data.places import mark
from polyrec.data.where import Between
from polyrec.errors import ConfigError, DataError
from polyrec.schema import Schema

SECONDS = {"hour": 3_600, "day": 86_400, "week": 604_800}
MOST = 10_000  # periods of one call


@dataclass(frozen=True, slots=True)
class Period:
    """Rows that are judged, then trained on, together. `window`: they are a stretch of time, whatever files hold it."""

    name: str
    source: Source
    window: bool = False

    @property
    def about(self) -> dict[str, Any]:
        """Where the rows are, and what their files were like."""
        files = {str(path): list(mark(path)) for path in self.source.paths}
        where = self.source.to_dict()["where"]
        return {"files": files, "where": where}

    def known(self, about: Mapping[str, Any]) -> bool:
        """Whether it is what a period was about that has been learned from.

        Files that did not change; or the same stretch of time of some files that are there still, whatever has been
        added to them.
        """
        mine = self.about
        if not self.window:
            return mine == about
        return bool(about) and mine["where"] == about["where"] and not mine["files"].keys().isdisjoint(about["files"])


def periods(
    data: Sequence[str], schema: Schema, every: str | None = None, say: Callable[[str], object] | None = None
) -> list[Period]:
    """The periods in the order given, or in the order of time.

    Args:
        data: files or patterns, each one period.
        schema: names the time.
        every: cut all rows into stretches of time instead: "hour", "day", "week", or a number in the units of a time
            that is a number.
        say: told how many rows have no time, and so are in no stretch of it.

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
    return _cut(source, column, every, say)


def _cut(source: Source, column: str, every: str, say: Callable[[str], object] | None) -> list[Period]:
    kind = source.columns()[column]
    width, starts, timed = _width(every, kind, column), set[float](), 0
    for table in source.tables([column]):
        values = times(table[column])
        timed += len(values)
        starts |= set(np.unique(np.floor(values / width)).tolist())
    rows = source.rows()
    if not starts:
        raise DataError(f"time column {column!r} is null in every row. Fill it.")
    if timed < rows and say is not None:
        lost = f"time column {column!r} is null in {rows - timed:,} of {rows:,} rows"
        say(f"warning: {lost}: they are in no period, and nothing is learned from them.")
    if len(starts) > MOST:
        raise ConfigError(f"--every {every} cuts the rows into {len(starts):,} periods. Give a longer one.")
    return [_window(source, column, kind, start * width, width) for start in sorted(starts)]


def _window(source: Source, column: str, kind: pa.DataType, start: float, width: float) -> Period:
    try:
        between = Between(column, _bound(start, kind), _bound(start + width, kind))
    except OverflowError as reason:
        raise DataError(f"time column {column!r} has moments beyond the year 9999. Mend or leave them out.") from reason
    return Period(f"{column} {shown(start, kind)}", source.filtered(between), window=True)


def _width(every: str, kind: pa.DataType, column: str) -> float:
    temporal = pa.types.is_temporal(kind)
    if temporal and every in SECONDS:
        return float(SECONDS[every] * MICRO)
    if not temporal and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        try:
            if float(every) > 0:
                return float(every)
        except ValueError:
            pass
    remedy = f"Give one of {', '.join(SECONDS)}" if temporal else "Give a number in its units, for example 86400000"
    raise ConfigError(f"--every {every} does not divide time column {column!r} of type {kind}. {remedy}.")


def _bound(value: float, kind: pa.DataType) -> int | float | str:
    if pa.types.is_temporal(kind):
        return iso(value)
    return int(value) if pa.types.is_integer(kind) and value == int(value) else float(value)
