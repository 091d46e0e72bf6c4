"""What kind of feature each remaining column is, on which side, or why it is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import polars as pl

from polyrec.data.inspection import names
from polyrec.data.inspection.association import Coded, settled
from polyrec.data.inspection.reading import Log
from polyrec.data.inspection.statistics import Column
from polyrec.schema import Feature, Keys, Kind, Side, Transform

FEW_NUMBERS = 12  # distinct whole numbers that are read as categories
UNIQUE = 0.9  # distinct values in a row's stead from which a column names rows
SETTLED = 0.9  # of a column by a key, from which it is that key's
SKEWED = 2.0
IDENTITY = ("id", "ids", "uuid", "code", "key", "hash")
LISTED = 0.5  # share of texts with a bar, from which they are lists


@dataclass(frozen=True, slots=True)
class ChosenFeatures:
    """Features, and the columns that are none, each with the reason."""

    features: tuple[Feature, ...]
    excluded: Mapping[str, str]


def choose_features(
    columns: Sequence[Column], keys: Keys, taken: Sequence[str], log: Log, coded: Mapping[str, Coded]
) -> ChosenFeatures:
    """Features of the columns that are neither labels nor taken otherwise.

    Args:
        columns: all columns.
        keys: user and item become features too; scenario, time and group do not.
        taken: labels and other outcomes.
        log: the samples.
        coded: the sample's columns as numbers, for the sides.
    """
    features: list[Feature] = []
    excluded: dict[str, str] = {}
    roles = {keys.scenario: "the scenario", keys.time: "the time of the row", keys.group: "names a group of rows"}
    for column in columns:
        if column.name in taken:
            continue
        reason = roles.get(column.name) or _reason(column, keys, log)
        if reason is not None:
            excluded[column.name] = reason
            continue
        features.append(_feature(column, _side(column, keys, coded), log))
    order = {"user": 0, "item": 1, "context": 2}
    return ChosenFeatures(tuple(sorted(features, key=lambda feature: order[feature.side])), excluded)


def _reason(column: Column, keys: Keys, log: Log) -> str | None:
    """Why a column is no feature; None where it is one."""
    if column.nulls == column.rows:
        return "null in every row"
    if column.constant:
        return "the same value in every row"
    if column.is_time:
        return "a date: make numbers of it (days since, weekday) that mean the same in the future"
    if not (column.is_list or column.is_text or column.is_number or column.type == "Boolean"):
        return f"type {column.type} is no feature: store a number, a text or a list"
    if column.is_list and _list_kind(column, log) is None:
        return "lists of numbers of unequal length: neither a sequence of ids nor a vector"
    if column.name in (keys.user, keys.item):
        return None
    named = column.is_text or (column.whole and names.words(column.name)[-1] in IDENTITY)
    if named and (column.distinct or 0) > UNIQUE * column.rows > 100:
        return "names each row: a model would learn nothing that holds for others"
    if column.is_number and column.whole and not column.binary and _grows(column, keys, log):
        return "grows with time: the values of later rows never occur in earlier ones"
    return None


def _grows(column: Column, keys: Keys, log: Log) -> bool:
    if keys.time is None or (column.distinct or 0) <= 2 or column.name in (keys.user, keys.item):
        return False
    return bool(log.sample.sort(keys.time)[column.name].drop_nulls().is_sorted())


def _side(column: Column, keys: Keys, coded: Mapping[str, Coded]) -> Side:
    """The key that settles the column; by its name where the sample cannot tell."""
    shares: dict[Side, float] = {}
    sides: tuple[tuple[Side, str | None, tuple[str, ...]], ...] = (
        ("user", keys.user, names.USER),
        ("item", keys.item, names.ITEM),
    )
    for side, key, telling in sides:
        if key is None:
            continue
        if column.name == key:
            return side
        if column.name in coded and key in coded:
            share = settled(coded[key], coded[column.name])
            shares[side] = float(names.has(column.name, telling)) if isnan(share) else share
    settled_by = {side: share for side, share in shares.items() if share >= SETTLED}
    return max(settled_by, key=lambda side: settled_by[side]) if settled_by else "context"


def _feature(column: Column, side: Side, log: Log) -> Feature:
    if column.is_list:
        kind = _list_kind(column, log)
        if kind == "vector":
            return Feature(column.name, "vector", side, size=column.length[1] if column.length else None)
        return Feature(column.name, "sequence", side)
    if column.is_text and _barred(column, log):
        return Feature(column.name, "sequence", side)
    if not column.is_number or _categorical(column, side):
        return Feature(column.name, "categorical", side)
    return Feature(column.name, "numeric", side, transform=_transform(column))


def _categorical(column: Column, side: Side) -> bool:
    if not column.whole:
        return False
    if names.words(column.name)[-1] in IDENTITY or column.binary:
        return True
    if names.has(column.name, names.AMOUNT):
        return False
    identity = names.has(column.name, names.CODE) or names.has(column.name, (*names.USER, *names.ITEM))
    if side == "item" and names.has(column.name, names.ITEM):
        identity = len(names.words(column.name)) == 1
    return identity or (column.distinct or 0) <= FEW_NUMBERS


def _transform(column: Column) -> Transform:
    """Logarithm for long tails above zero, quantiles for other long tails, else standardised."""
    skewed = column.skew is not None and abs(column.skew) > SKEWED
    if not skewed:
        return "standard"
    positive = isinstance(column.low, int | float) and column.low >= 0 and (column.skew or 0.0) > 0
    return "log" if positive else "quantile"


def _list_kind(column: Column, log: Log) -> Kind | None:
    kind = log.sample.schema[column.name]
    inner = kind.inner if isinstance(kind, pl.List | pl.Array) else None
    even = column.length is not None and column.length[0] == column.length[1] > 0
    if inner is not None and inner.is_float():
        return "vector" if even and not column.nulls else None
    return "sequence" if inner is not None and (inner.is_integer() or inner == pl.String) else None


def _barred(column: Column, log: Log) -> bool:
    texts = log.sample[column.name].drop_nulls()
    share = texts.str.contains("|", literal=True).mean() if len(texts) else None
    return isinstance(share, float) and share > LISTED
