"""What is wrong with columns whatever the labels are: nothing in them, twice the same, ids that were bent."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import polars as pl

from polyrec.data.inspection import names
from polyrec.data.inspection.association import Coded, one_to_one
from polyrec.data.inspection.findings import Finding, Severity, share
from polyrec.data.inspection.reading import Log
from polyrec.data.inspection.statistics import Column
from polyrec.schema import Feature, Keys

INT32 = 2**31 - 1
FLOAT32_WHOLE = 2**24  # whole numbers up to here are exact in 32-bit floats
FLOAT64_WHOLE = 2**53
MOSTLY = 0.95  # null share that is mentioned
NEAR = 0.999  # share of one value that is mentioned
REPEATED = 0.01  # share of repeated rows that is a warning


def find_empty(columns: Sequence[Column], features: Sequence[str], log: Log) -> Iterator[Finding]:
    """Constant, nearly constant and mostly null columns, NaN and infinities."""
    for column in columns:
        name = (column.name,)
        if column.nulls == column.rows:
            severity: Severity = "error" if column.name in features else "warning"  # training refuses it
            yield Finding("constant", severity, name, f"{column.name} is null in every row. Leave it out.", 1.0)
        elif column.constant:
            said = f"{column.name} is {column.low!r} in every row. Leave it out: nothing can be learned from it."
            yield Finding("constant", "warning", name, said, 1.0)
        elif column.name in features:
            yield from _nearly(column, log)
        if column.infinities:
            said = f"{column.name} is infinite in {column.infinities:,} rows; they are read as null. Mend the division."
            yield Finding("infinite", "warning", name, said, float(column.infinities))
        if column.nans:
            said = f"{column.name} is NaN in {column.nans:,} rows ({share(column.nans / column.rows)}), read as null."
            yield Finding("nan", "info", name, said, float(column.nans))


def _nearly(column: Column, log: Log) -> Iterator[Finding]:
    if column.null_share >= MOSTLY:
        said = f"{column.name} is null in {share(column.null_share)} of the rows. Check that it was logged."
        yield Finding("mostly_null", "info", (column.name,), said, column.null_share)
        return
    if column.is_list or (column.distinct or 0) > 1000:
        return
    counts = log.sample[column.name].value_counts(name="_count", sort=True)
    most = counts["_count"][0] / len(log.sample)
    if most >= NEAR and len(log.sample) >= 1000:
        value = counts[column.name][0]
        said = f"{column.name} is {value!r} in {share(most)} of the rows: little can be learned from it."
        yield Finding("near_constant", "info", (column.name,), said, float(most))


def find_duplicates(features: Sequence[Feature], coded: Mapping[str, Coded], keys: Keys, log: Log) -> Iterator[Finding]:
    """Columns that repeat an earlier one, value for value or under other names.

    A number that is another one for each id is no repeat of the id: it says which ids are near each other.
    """
    told: set[str] = set()
    kinds = {keys.scenario: "categorical"} | {feature.name: feature.kind for feature in features}
    known = [name for name in kinds if name in coded and coded[name].distinct > 1]
    for first, second in combinations(known, 2):
        if second in told or kinds[first] != kinds[second] or not _same(coded[first], coded[second], kinds[first]):
            continue
        same = log.sample[first].dtype == log.sample[second].dtype and _equal(first, second, log)
        how = "equals" if same else "says the same in other words as"
        rows = f"{log.rows:,} rows" if same else f"{len(log.sample):,} rows looked at"
        told.add(second)
        said = f"{second} {how} {first} in all {rows}. Leave one out: it costs time and adds nothing."
        yield Finding("duplicate", "warning", (second, first), said)


def _same(first: Coded, second: Coded, kind: str) -> bool:
    if not one_to_one(first, second):
        return False
    if first.order is None or second.order is None or kind != "numeric":
        return first.distinct <= len(first.codes) / 2  # two columns that name rows say nothing of each other
    falling = second.order.max() + 1 - second.order
    return np.array_equal(first.order, second.order) or np.array_equal(first.order, falling)


def _equal(first: str, second: str, log: Log) -> bool:
    if not log.sample[first].equals(log.sample[second], null_equal=True):
        return False
    return not log.collect([pl.col(first).ne_missing(pl.col(second)).any().alias("differ")])["differ"][0]


def find_bent_ids(columns: Sequence[Column], keys: Keys) -> Iterator[Finding]:
    """Ids that 32 bits do not hold, and ids stored in floats that cannot tell neighbours apart."""
    roles = (keys.user, keys.item, keys.group)
    for column in columns:
        if not column.is_number or not column.whole or not isinstance(column.high, int | float):
            continue
        if column.name not in roles and names.words(column.name)[-1] not in ("id", "ids", "key", "hash"):
            continue
        largest = max(abs(column.high), abs(column.low))
        exact = FLOAT32_WHOLE if column.type == "Float32" else FLOAT64_WHOLE
        if column.is_float and largest > exact:
            said = (
                f"{column.name} holds ids up to {largest:.0f} as {column.type}, which is exact only to {exact:,}: "
                "different ids have become one. Write it again as integers or text."
            )
            yield Finding("bent_ids", "error", (column.name,), said, float(largest))
        elif column.is_float:
            said = f"{column.name} holds ids as {column.type}; still exact. Store integers, with nulls where unknown."
            yield Finding("float_ids", "info", (column.name,), said, float(largest))
        elif largest > INT32:
            said = (
                f"{column.name} holds ids up to {largest:,}, beyond 32-bit integers ({INT32:,}). Read here as 64-bit; "
                "keep them so, and out of floats."
            )
            yield Finding("wide_ids", "info", (column.name,), said, float(largest))


def find_repeated(log: Log) -> Iterator[Finding]:
    """Rows that are equal in every column to another."""
    repeated, exact = log.repeated_rows()
    if repeated:
        severity: Severity = "warning" if repeated >= REPEATED * log.rows else "info"
        about = "" if exact else "About "
        said = (
            f"{about}{repeated:,} of {log.rows:,} rows ({share(repeated / log.rows)}) repeat another row exactly. "
            "If they are the same event, drop them; if not, split by time so that a row and its repeat do not face "
            "each other in training and test."
        )
        yield Finding("repeated_rows", severity, (), said, float(repeated))


def find_keys(columns: Sequence[Column], keys: Keys) -> Iterator[Finding]:
    """Rows without a scenario, and a time column that cannot order rows."""
    scenario = next(column for column in columns if column.name == keys.scenario)
    if scenario.nulls:
        said = (
            f"{scenario.name} is null in {scenario.nulls:,} rows: they belong to no scenario, and training refuses "
            "them. Fill it, or leave those rows out."
        )
        yield Finding("scenario_null", "error", (scenario.name,), said, float(scenario.nulls))
    yield from _time(columns, keys)


def _time(columns: Sequence[Column], keys: Keys) -> Iterator[Finding]:
    if keys.time is None:
        said = "No column says when a row happened: splits will be random, which flatters a model that is used later."
        yield Finding("no_time", "info", (), said + " Log a time.")
        return
    column = next(column for column in columns if column.name == keys.time)
    if column.constant:
        said = f"{column.name} is {column.low} in every row: it cannot split by time. Name another column, or none."
        yield Finding("time_constant", "warning", (column.name,), said)
    elif not column.rising:
        said = (
            f"Rows are not in the order of {column.name}. Splits by time work all the same; sorted files read faster."
        )
        yield Finding("time_unsorted", "info", (column.name,), said)
    if column.nulls:
        said = (
            f"{column.name} is null in {column.nulls:,} rows, which no split by time can place. Fill it or drop them."
        )
        yield Finding("time_null", "warning", (column.name,), said, float(column.nulls))
