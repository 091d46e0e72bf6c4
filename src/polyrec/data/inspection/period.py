"""Numbers of a user or an item that move with its own label rate: statistics taken over the whole period."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from polyrec.data.inspection.findings import Finding
from polyrec.data.inspection.reading import Log
from polyrec.data.inspection.statistics import Column
from polyrec.schema import Keys, Task

TRACKS = 0.9  # rank correlation with the key's positives or rate, weighted by rows
ENTITIES = 30  # users or items needed
ROWS = 20  # of each, to take part
MOST_ENTITIES = 1_000_000


def find_whole_period(
    columns: Sequence[Column], candidates: Sequence[str], keys: Keys, tasks: Sequence[Task], log: Log
) -> Iterator[Finding]:
    """Numeric candidates that are one number per user or item, and follow how often that one had the label."""
    by_name = {column.name: column for column in columns}
    for key in (keys.user, keys.item):
        if key is None or (by_name[key].distinct or 0) > MOST_ENTITIES:
            continue
        numbers = [
            name
            for name in candidates
            if name != key and by_name[name].is_number and (by_name[name].distinct or 0) > ENTITIES
        ]
        fixed = [name for name in numbers if _fixed(log.sample, key, name)]
        if fixed:
            yield from _compared(fixed, key, tasks, log)


def _fixed(frame: pl.DataFrame, key: str, name: str) -> bool:
    """Whether all rows of a key hold one number."""
    spread = frame.group_by(key).agg(rows=pl.len(), values=pl.col(name).n_unique()).filter(pl.col("rows") > 1)
    return len(spread) > 0 and bool((spread["values"] == 1).all())


def _compared(fixed: list[str], key: str, tasks: Sequence[Task], log: Log) -> Iterator[Finding]:
    labels = [pl.col(task.label).cast(pl.Float64).fill_nan(None) for task in tasks]
    wanted = [pl.len().alias("_rows"), *(pl.col(name).drop_nulls().first().cast(pl.Float64) for name in fixed)]
    wanted += [label.sum().alias(f"sum {task.label}") for label, task in zip(labels, tasks, strict=True)]
    wanted += [label.mean().alias(f"mean {task.label}") for label, task in zip(labels, tasks, strict=True)]
    found = log.collect(wanted, by=[key]).filter(pl.col("_rows") >= ROWS)
    if len(found) < ENTITIES:
        return
    weight = found["_rows"].to_numpy().astype(float)
    for name in fixed:
        for task in tasks:
            tied = {what: _rank_correlation(found[name], found[f"{what} {task.label}"], weight) for what in _WORDS}
            what = max(tied, key=lambda one: abs(tied[one]))
            if abs(tied[what]) >= TRACKS:
                yield Finding(
                    "whole_period",
                    "warning",
                    (name, task.label),
                    f"{name} is one number per {key} and moves with {_WORDS[what]} {task.label} over the whole log "
                    f"(rank correlation {tied[what]:.3f} over {len(found):,} values of {key}): it may be counted from "
                    "the very rows that it is to predict. Count it from rows before each row, or leave it out.",
                    tied[what],
                )
                break


_WORDS = {"sum": "its count of", "mean": "its rate of"}


def _rank_correlation(left: pl.Series, right: pl.Series, weight: np.ndarray[Any, Any]) -> float:
    ranks = [one.fill_nan(None).rank().fill_null(0.0).to_numpy().astype(float) for one in (left, right)]
    a, b = (rank - np.average(rank, weights=weight) for rank in ranks)
    scale = np.sqrt(np.average(a * a, weights=weight) * np.average(b * b, weights=weight))
    return float(np.average(a * b, weights=weight) / scale) if scale > 0 else 0.0
