"""Which columns identify rows: scenario, user, item, time and group, by their names and what they hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from polyrec.data.inspection import names
from polyrec.data.inspection.statistics import Column
from polyrec.errors import DataError
from polyrec.schema import Keys

MOST_SCENARIOS = 300
GUESSED_SCENARIOS = 50  # where only the values, not the name, speak for it
FEW_NULLS = 0.05  # share of rows that may lack the scenario (which is an error, said later)
EPOCH = 100_000_000  # seconds: 1973; smaller whole numbers are no moments
_IDS = ("id", "ids", "key", "no", "hash", "code")
_PLAIN_TIME = ("timestamp", "ts", "time", "date", "datetime", "week", "day", "epoch")


@dataclass(frozen=True, slots=True)
class ChosenKeys:
    """The keys, and in words why each was chosen."""

    keys: Keys
    reasons: tuple[tuple[str, str], ...]  # (role, sentence)
    guessed: bool  # whether the scenario is a guess by its values alone


def choose_keys(columns: Sequence[Column], labels: Sequence[str]) -> ChosenKeys:
    """Choose key columns among those that are no labels.

    Raises:
        DataError: no column can name the scenario.
    """
    free = [column for column in columns if column.name not in labels]
    scenario, reason, guessed = _scenario(free)
    reasons = [("scenario", reason)]
    free = [column for column in free if column is not scenario]
    user = _identity(free, names.USER, ())
    free = [column for column in free if column is not user]
    item = _identity(free, names.ITEM, ("type",))
    free = [column for column in free if column is not item]
    group = _identity(free, names.GROUP, ())
    time = _time([column for column in free if column is not group])
    roles = {"user": user, "item": item, "time": time, "group": group}
    reasons += [(role, _worded(role, column)) for role, column in roles.items() if column is not None]
    chosen = {role: None if column is None else column.name for role, column in roles.items()}
    return ChosenKeys(Keys(scenario=scenario.name, **chosen), tuple(reasons), guessed)


def _worded(role: str, column: Column) -> str:
    if role == "time":
        order = "rows are in its order" if column.rising else "rows are not in its order"
        return f"{column.name!r}: {column.low} to {column.high}; {order}"
    return f"{column.name!r}: {column.distinct:,} distinct values"


def _scenario(columns: Sequence[Column]) -> tuple[Column, str, bool]:
    named = [(place, column) for column in columns if (place := _scenario_place(column)) is not None]
    if named:
        _, found = min(named, key=lambda pair: pair[0])
        others = ", ".join(column.name for _, column in sorted(named, key=lambda pair: pair[0]) if column is not found)
        also = f"; by their names these could be it too: {others}" if others else ""
        return found, f"{found.name!r}: {found.distinct} values{also}", False
    texts = [one for one in columns if one.is_text and not one.is_time and not one.nulls]
    few = [one for one in texts if 2 <= (one.distinct or 0) <= GUESSED_SCENARIOS]
    if few:
        found = min(few, key=lambda column: column.distinct or 0)
        return found, f"{found.name!r}: {found.distinct} values; no name says scenario, so this is a guess", True
    raise DataError(
        "no column can be the scenario: none of "
        f"{', '.join(column.name for column in columns) or 'the columns'} has a telling name and 2 to {MOST_SCENARIOS} "
        "values. Add a column that names the slice of traffic each row comes from, or check the log against a "
        "schema that says [keys] scenario."
    )


def _scenario_place(column: Column) -> int | None:
    """How well a column names scenarios, smaller is better; None where it cannot."""
    distinct = column.distinct or 0
    place = names.rank(column.name, names.SCENARIO)
    named = [word for word in names.words(column.name) if word not in _IDS]
    if column.null_share > FEW_NULLS:
        return None
    if place is None or not 1 <= distinct <= MOST_SCENARIOS or column.is_float or column.is_time:
        return None
    if len(named) > 1 and (column.is_number or names.has(column.name, names.HISTORY)):
        return None
    return place - (100 if len(named) == 1 else 0) + (200 if distinct == 1 else 0)


def _identity(columns: Sequence[Column], telling: tuple[str, ...], allowed: tuple[str, ...]) -> Column | None:
    """The column whose name is one of the telling words and nothing but a word for id beside it."""
    found: list[tuple[int, int, Column]] = []
    for place, column in enumerate(columns):
        spelled = names.words(column.name)
        other = [word for word in spelled if word not in telling and word not in _IDS and not word.isdigit()]
        rank = names.rank(column.name, telling)
        if rank is None or any(word not in allowed for word in other) or column.binary:
            continue
        if not (column.is_text or column.whole) or (column.distinct or 0) < 2:
            continue
        exact = any(word in _IDS for word in spelled)
        if not exact and (column.distinct or 0) < 10:
            continue
        found.append((rank + 10 * len(other) - (100 if exact else 0), place, column))
    return min(found, key=lambda one: one[:2])[2] if found else None


def _time(columns: Sequence[Column]) -> Column | None:
    found: list[tuple[tuple[bool, bool, int], Column]] = []
    for column in columns:
        rank = names.rank(column.name, names.TIME)
        if column.is_time:
            found.append(((False, not column.rising, 99 if rank is None else rank), column))
        elif rank is not None and column.is_number and column.whole and not names.has(column.name, names.HISTORY):
            moment = isinstance(column.low, int | float) and column.low >= EPOCH
            plain = names.words(column.name)[0] in _PLAIN_TIME and len(names.words(column.name)) <= 2
            if moment or (plain and (column.rising or len(names.words(column.name)) == 1)):
                found.append(((not moment, not column.rising, rank), column))
    return min(found, key=lambda pair: pair[0])[1] if found else None
