"""Which period each row of a source is of."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from polyrec.data.files import Source
from polyrec.data.moments import MICRO, iso
from polyrec.errors import ConfigError
from polyrec.recipes.window import SECONDS, Period, length, stored
from polyrec.shapes import Float, Int

MOST = 120  # periods of one picture
NEVER = -1  # a row without a time


@dataclass(frozen=True, slots=True, eq=False)
class Periods:
    """The periods of some rows in the order of time, those without a row left out, and the place of each row's."""

    names: tuple[str, ...]
    place: Int[np.ndarray, "B"]  # `NEVER` where the time is null


def periods_of(
    source: Source, column: str | None, period: Period | float, rows: Int[np.ndarray, "B"] | None = None
) -> Periods:
    """Rows of a source by their time: floor(time / length), so that days and weeks are UTC's own.

    Args:
        source: the rows.
        column: of their time.
        period: its length.
        rows: those rows alone, by their rising places in the source.

    Raises:
        ConfigError: no time column; one of which a named period has no length; more than 120 periods.

    Example:
        >>> import tempfile, pathlib, pyarrow.parquet as pq
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.parquet"
        >>> pq.write_table(pa.table({"week": [41, 43, None, 41]}), path)
        >>> found = periods_of(Source((path,)), "week", 1)
        >>> found.names, found.place.tolist()
        (('41', '43'), [0, 1, -1, 0])
    """
    if column is None:
        raise ConfigError("[transfer] period needs the time's column. Add time = ... to [keys].")
    moments = _moments(source, column, rows)
    known = ~np.isnan(moments)
    if not known.any():
        return Periods((), np.full(len(moments), NEVER))
    kind = source.columns()[column]
    width = length(period, kind, float(moments[known].max()), column)
    starts, place = np.unique(np.floor(moments[known] / width), return_inverse=True)
    if len(starts) > MOST:
        raise ConfigError(f"[transfer] period = {period!r} cuts the rows into {len(starts):,}. Give a longer one.")
    whole = np.full(len(moments), NEVER)
    whole[known] = place.ravel()
    return Periods(tuple(_name(start * width, width, period, kind) for start in starts.tolist()), whole)


def _moments(source: Source, column: str, rows: Int[np.ndarray, "B"] | None) -> Float[np.ndarray, "B"]:
    blocks, seen = [np.zeros(0)], 0
    for table in source.tables([column]):
        block = stored(table[column], column)
        if rows is not None:
            first, last = np.searchsorted(rows, (seen, seen + len(block)))
            seen, block = seen + len(block), block[rows[first:last] - seen]
        blocks.append(block)
    return np.concatenate(blocks)


def _name(start: float, width: float, period: Period | float, kind: pa.DataType) -> str:
    """The period's first moment: as a date where a second's length is known, else as the number."""
    if not isinstance(period, str) and not pa.types.is_temporal(kind):
        return f"{start:.15g}"
    second = width / SECONDS[period] if isinstance(period, str) else _seconds(kind)
    text = iso(start / second * MICRO)
    return text[:10] if text.endswith("T00:00:00") else text[:16].replace("T", " ")


def _seconds(kind: pa.DataType) -> float:
    """How much of a stored time is a second."""
    return length("week", kind, 0, "") / SECONDS["week"]
