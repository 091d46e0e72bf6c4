"""How strongly a column goes with a label, in numbers that a column of many values cannot inflate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

Array = np.ndarray[Any, np.dtype[Any]]
FOLDS = 5
PRIOR = 20.0  # rows' worth of the whole's rate that every value's rate starts from
BINS = 50  # into which numbers of many values are cut
FEW = 1000  # distinct values that are looked at one by one


@dataclass(frozen=True, slots=True)
class Coded:
    """A column as numbers, [N] each.

    `codes`: equal for equal values, from 0; null has its own.
    `order`: the place of each value among the sorted ones, null lowest; None where values have no order.
    `null`: the code of null, -1 where there is none.
    """

    codes: Array
    distinct: int
    order: Array | None
    null: int

    def values_or_bins(self) -> tuple[Array, int]:
        """Codes as they are, or of at most `BINS` equally filled bins where an ordered column has many values."""
        if self.order is None or self.distinct <= FEW:
            return self.codes, self.distinct
        edges = np.quantile(self.order, np.linspace(0, 1, BINS + 1)[1:-1])
        return np.searchsorted(edges, self.order, side="right"), BINS


def code(column: pl.Series) -> Coded:
    """A column of any type as numbers.

    Example:
        >>> found = code(pl.Series([7, None, 5, 7]))
        >>> found.codes.tolist(), found.distinct, found.order.tolist()
        ([0, 1, 2, 0], 3, [2, 0, 1, 2])
    """
    frame = pl.DataFrame({"value": column})
    seen = frame.unique(maintain_order=True).with_row_index("code")
    joined = frame.join(seen, on="value", how="left", nulls_equal=True, maintain_order="left")
    order = None
    if column.dtype.is_numeric() or column.dtype.is_temporal() or column.dtype == pl.Boolean:
        order = column.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    null = seen.filter(pl.col("value").is_null())["code"]
    codes = joined["code"].to_numpy().astype(np.int64)
    return Coded(codes, len(seen), order, int(null[0]) if len(null) else -1)


def auc(scores: Array, label: Array) -> float:
    """The chance that a positive scores above a negative, ties counting half.

    Formula: (R+ - P(P+1)/2) / (P N) with the mean ranks of ties; 0.5 where one class is missing.

    Example:
        >>> auc(np.array([1, 2, 2, 3]), np.array([0, 0, 1, 1]))
        0.875
    """
    _, place = np.unique(scores, return_inverse=True)
    positives, rows = np.bincount(place, label), np.bincount(place)
    total, right = positives.sum(), (rows - positives).sum()
    if not total or not right:
        return 0.5
    below = np.cumsum(rows - positives) - (rows - positives)
    return float((positives * (below + 0.5 * (rows - positives))).sum() / (total * right))


def held_out_rates(codes: Array, distinct: int, label: Array, seed: int = 0) -> Array:
    """For each row the label's rate among rows of the same value in the other folds.

    A column that names each row scores 0.5 this way, where the plain rate would score 1.
    Formula: (positives of the value + PRIOR * rate) / (rows of the value + PRIOR), without the row's own fold.
    """
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(codes))
    both = fold * distinct + codes
    rows = np.bincount(both, minlength=FOLDS * distinct).reshape(FOLDS, distinct).astype(float)
    hits = np.bincount(both, label, minlength=FOLDS * distinct).reshape(FOLDS, distinct)
    rows, hits = rows.sum(0) - rows, hits.sum(0) - hits
    rate = hits.sum(1, keepdims=True) / np.maximum(rows.sum(1, keepdims=True), 1)
    rates: Array = ((hits + PRIOR * rate) / (rows + PRIOR))[fold, codes]
    return rates


def strength(column: Coded, label: Array) -> float:
    """The AUC of a column alone, whichever way it points: by its order, or by each value's held-out rate.

    Example:
        >>> label = np.tile([0, 1], 500)
        >>> round(strength(code(pl.Series(1 - label)), label), 2)
        1.0
        >>> strength(code(pl.Series(range(1000))), label) < 0.6  # names each row, tells nothing
        True
    """
    codes, distinct = column.values_or_bins()
    found = auc(held_out_rates(codes, distinct, label), label)
    if column.order is None:
        return found
    ordered = auc(column.order, label)
    return max(found, ordered, 1 - ordered)


def settled(key: Coded, column: Coded) -> float:
    """How far a key settles another column: 0 as little as no key at all, 1 entirely.

    Formula: (s - b) / (1 - b), with s the share of rows that hold their key's commonest value and b the share
    that hold the commonest value of all; only keys of two rows and more count. NaN where there are none.
    """
    rows = np.bincount(key.codes, minlength=key.distinct)
    repeated = rows[key.codes] > 1
    if not repeated.any():
        return float("nan")
    pairs, counts = np.unique(key.codes[repeated] * column.distinct + column.codes[repeated], return_counts=True)
    most = np.zeros(key.distinct, np.int64)
    np.maximum.at(most, pairs // column.distinct, counts)
    total = int(repeated.sum())
    base = np.bincount(column.codes[repeated]).max() / total
    return 1.0 if base == 1.0 else float((most.sum() / total - base) / (1 - base))


def one_to_one(left: Coded, right: Coded) -> bool:
    """Whether each value of one column goes with exactly one of the other, both ways."""
    if left.distinct != right.distinct:
        return False
    return len(np.unique(left.codes * right.distinct + right.codes)) == left.distinct


@dataclass(frozen=True, slots=True)
class Twins:
    """What a column tells where rows are alike in every other column: AUC within such groups, and how sure."""

    auc: float
    error: float  # standard error
    groups: int
    rows: int


def among_twins(columns: Mapping[str, Coded], name: str, label: Array) -> Twins | None:
    """The AUC of column `name` among rows that agree in all the other columns.

    What was known when the row was shown and what other columns repeat cannot tell such rows apart; a value
    written after the outcome can. Each value is scored by its excess of positives in *other* groups, groups
    weigh P N / (P + N). None where no group differs both in the column and in the label.
    """
    alike = np.zeros(len(label), np.uint64)
    for place, (other, column) in enumerate(columns.items()):
        if other != name:
            alike += _scattered(column.codes, place)
    _, groups = np.unique(alike, return_inverse=True)
    column = columns[name]
    cells, cell = np.unique(groups * column.distinct + column.codes, return_inverse=True)
    rows, hits = np.bincount(cell).astype(float), np.bincount(cell, label)
    group, value = cells // column.distinct, cells % column.distinct
    differ = np.bincount(group)[group] > 1
    all_rows, all_hits = np.bincount(group, rows)[group], np.bincount(group, hits)[group]
    kept = differ & (all_hits > 0) & (all_hits < all_rows)
    if not kept.any():
        return None
    rows, hits, group, value = rows[kept], hits[kept], group[kept], value[kept]
    excess = hits - rows * (all_hits / all_rows)[kept]
    elsewhere = np.bincount(value, excess)[value] - excess
    score = elsewhere / (np.bincount(value, rows)[value] - rows + 1.0)
    return _within(np.unique(group, return_inverse=True)[1], score, rows, hits)


def _within(group: Array, score: Array, rows: Array, hits: Array) -> Twins:
    order = np.lexsort((score, group))
    group, score, rows, hits = group[order], score[order], rows[order], hits[order]
    misses = rows - hits
    fresh = np.r_[True, (np.diff(group) != 0) | (np.diff(score) != 0)]
    tie = np.cumsum(fresh) - 1
    tied_hits, tied_misses, tied_group = np.bincount(tie, hits), np.bincount(tie, misses), group[fresh]
    below = np.cumsum(tied_misses) - tied_misses
    begins = np.searchsorted(tied_group, np.arange(group[-1] + 1))
    below = below - below[begins][tied_group]
    won = np.bincount(tied_group, tied_hits * (below + 0.5 * tied_misses))
    positives, negatives = np.bincount(group, hits), np.bincount(group, misses)
    weight = positives * negatives / (positives + negatives)
    each = won / (positives * negatives)
    mean = float((weight * each).sum() / weight.sum())
    error = float(np.sqrt((weight**2 * (each - mean) ** 2).sum()) / weight.sum())
    return Twins(mean, error, len(each), int(rows.sum()))


def _scattered(codes: Array, place: int) -> Array:
    """Well-spread 64-bit numbers of codes, other ones for each place (SplitMix64's mixing step)."""
    mixed = codes.astype(np.uint64) + np.uint64((place + 1) * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    scattered: Array = mixed ^ (mixed >> np.uint64(31))
    return scattered
