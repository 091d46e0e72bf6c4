"""Plain Python values, as a request brings them, without the way through Arrow.

A few hundred values that are Python objects already cost least in one dictionary look-up each; Arrow's way costs a
tenth of a millisecond a column however short. Each function answers what Arrow's way would, or None where the
values are not of the plain kind it knows, and Arrow's way is taken.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from types import NoneType
from typing import Any

import numpy as np
import pyarrow as pa

from polyrec.data.numbers import Numbers
from polyrec.data.values import NULL, UNKNOWN, Values
from polyrec.errors import DataError

_WIDEST = 2**63


class Plain:
    """Columns of plain Python values; one becomes Arrow's when it is asked for as such."""

    def __init__(self, columns: Mapping[str, list[Any]]) -> None:
        self._columns = columns
        self.column_names = list(columns)

    def values(self, name: str) -> list[Any]:
        """The values themselves."""
        return self._columns[name]

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """The same as a column of a table."""
        return pa.chunked_array([_column(name, self._columns[name])])


def ids(values: Sequence[Any], known: Values) -> np.ndarray | None:
    """int32 ids of values all of which are texts, or all integers, or null.

    Example:
        >>> import pyarrow as pa
        >>> ids(["b", None, "c"], Values("text", pa.array(["a", "b"], pa.large_string()))).tolist()
        [3, 1, 0]
        >>> ids(["b", 1], Values("text", pa.array(["a", "b"], pa.large_string()))) is None
        True
    """
    kind = str if known.kind == "text" else int
    places = known.places
    if places is None or not {kind, NoneType}.issuperset(map(type, values)):
        return None
    found = np.fromiter(map(places.get, values, repeat(UNKNOWN)), np.int32, len(values))
    unseen = (values[place] for place in np.flatnonzero(found == UNKNOWN).tolist())
    return found if all(map(_holds, unseen)) else None


def _holds(value: int | str) -> bool:
    """Whether a column can hold a value; what none can is refused in Arrow's words."""
    if isinstance(value, int):
        return -_WIDEST <= value < _WIDEST
    return value.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in value)


def lists(values: Sequence[Any], known: Values) -> tuple[np.ndarray, np.ndarray] | None:
    """Ids of all values of lists of texts or integers, and the length of each list; null is empty.

    Example:
        >>> import pyarrow as pa
        >>> found, lengths = lists([["b", "a"], None, []], Values("text", pa.array(["a", "b"], pa.large_string())))
        >>> found.tolist(), lengths.tolist()
        ([3, 2], [2, 0, 0])
    """
    if not {list, NoneType}.issuperset(map(type, values)):
        return None
    flat = [one for row in values if row is not None for one in row]
    found = ids(flat, known)
    if found is None:
        return None
    return found, np.fromiter((0 if row is None else len(row) for row in values), np.int64, len(values))


def numbers(values: Sequence[Any], fitted: Numbers, out: np.ndarray, absent: np.ndarray | None) -> bool:
    """Write the transformed numbers of ints, floats and nulls, as `Numbers.encode` does; whether that was done."""
    if not {int, float, NoneType}.issuperset(map(type, values)):
        return False
    try:
        made = np.array(values, np.float64)
    except OverflowError:
        return False
    if len(made) and not np.nanmax(np.abs(made), initial=0.0) < _WIDEST:
        return False  # among them may be an integer that no column can hold
    fitted.write(made, out, absent)
    return True


def places(values: Sequence[Any], scenarios: Values) -> np.ndarray | None:
    """Ids of scenario names that are texts; None where one is unknown or null, which is told elsewhere."""
    found = ids(values, scenarios)
    return None if found is None or (len(found) and int(found.min()) <= NULL) else found


def _column(name: str, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (ValueError, TypeError, OverflowError) as reason:
        raise DataError(f"field {name!r} has values that do not go together: {reason}. Send one type.") from reason
