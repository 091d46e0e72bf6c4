"""How well any model could score on a simulated log, and how much of that a model has reached."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from polyrec.data.simulate.draws import Floats
from polyrec.errors import DataError
from polyrec.schema import ALL, Schema, Target, funnel

BINS = 4096
WIDEST = 12.0  # logits beyond it fall into the last bin


@dataclass(frozen=True, slots=True)
class Best:
    """One cell's best scores: the true probabilities' own, on the labels drawn and in expectation.

    `constant` is the log-loss of the cell's observed rate. None: undefined (one class only, or no rows).
    """

    scenario: str  # a name, or "*" for all rows
    task: str
    space: str
    auc: float | None
    log_loss: float | None
    constant: float | None
    expected_auc: float | None
    expected_log_loss: float | None
    n: int
    positives: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """Predictions against true probabilities, free of the labels' noise."""

    auc: float | None  # chance that a positive drawn from the truth outranks a negative
    log_loss: float  # mean cross entropy
    least: float  # mean entropy of the truth: the log-loss of the truth itself
    pcoc: float | None  # mean predicted over mean true
    n: int


def share_of_gain(value: float, constant: float, oracle: float) -> float | None:
    """(model - constant) / (oracle - constant): 0 as good as a constant, 1 as good as the truth.

    Works for AUC (constant 0.5) and for log-loss alike. None where the oracle gains nothing.

    Example:
        >>> round(share_of_gain(0.71, 0.5, 0.8), 2), round(share_of_gain(0.33, 0.36, 0.30), 2)
        (0.7, 0.5)
        >>> share_of_gain(0.6, 0.5, 0.5) is None
        True
    """
    return None if oracle == constant else (value - constant) / (oracle - constant)


def judge(predicted: Floats, true: Floats) -> Judgement:
    """Score predictions [N] against true probabilities [N].

    `log_loss = mean(-q log p - (1 - q) log(1 - p))`; the AUC counts a row as q of a positive and 1 - q of a
    negative, ties as a half.

    Raises:
        DataError: lengths differ, no rows, or a prediction outside (0, 1) where the truth is not equally sure.

    Example:
        >>> truth = np.array([0.1, 0.2, 0.6])
        >>> said = judge(np.array([0.2, 0.4, 0.6]), truth)
        >>> round(said.pcoc, 3), said.log_loss > said.least, said.auc == judge(truth, truth).auc
        (1.333, True, True)
    """
    if len(predicted) != len(true) or not len(true):
        raise DataError(f"{len(predicted)} predictions for {len(true)} rows: give one for each, at least one.")
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        loss, least = _entropy(true, predicted), _entropy(true, true)
    if not np.isfinite(loss).all():
        row = int(np.flatnonzero(~np.isfinite(loss))[0])
        raise DataError(f"prediction {predicted[row]} in row {row}: must lie within (0, 1). Clip it.")
    rank = np.unique(predicted, return_inverse=True)[1]
    positive, negative = (np.bincount(rank, weight).astype(np.float64) for weight in (true, 1 - true))
    total = float(true.sum())
    pcoc = float(predicted.sum()) / total if total else None
    return Judgement(_auc(positive, negative), float(loss.mean()), float(least.mean()), pcoc, len(true))


def best_scores(folder: Path, rows: slice = slice(None)) -> tuple[Best, ...]:
    """The best scores of every cell of a simulated log, and of all scenarios pooled (`"*"`).

    The oracle knows each user's and item's latent factors, each day's preferences and everything in the log,
    but not the momentary noise. Rows whose label is null count nowhere. AUC in bins of logits 0.006 wide.

    Args:
        folder: what `simulate` wrote.
        rows: a slice of the log, for example `slice(900_000, None)` for its last rows by time.

    Raises:
        DataError: the folder is not a simulated world.
    """
    schema = Schema.load(folder / "schema.toml")
    tallies = {target: _Tally(len(schema.scenarios)) for target in schema.targets}
    for table, truth in _blocks(folder, schema, rows):
        coded = table["scenario"].combine_chunks().dictionary_encode()
        order = [schema.scenarios.index(name) for name in coded.dictionary.to_pylist()]
        scenario = np.array(order, np.int64)[np.asarray(coded.indices)]
        label = {task.name: _label(table[task.label]) for task in schema.tasks}
        for target, tally in tallies.items():
            inside = ~np.isnan(label[target.task])
            if target.space != ALL:
                for step in funnel(schema.tasks, target.space):
                    inside &= label[step.name] == 1
            chance = np.asarray(truth[target.column], np.float64)[inside]
            tally.add(scenario[inside], chance, label[target.task][inside])
    return tuple(best for target, tally in tallies.items() for best in tally.best(schema.scenarios, target))


class _Tally:
    """Sums and histograms of one target, by scenario."""

    def __init__(self, scenarios: int) -> None:
        self.counts = np.zeros((4, scenarios, BINS))  # labels 1 and 0, expected 1 and 0
        self.loss = np.zeros((2, scenarios))  # on labels, expected

    def add(self, scenario: NDArray[np.int64], chance: Floats, label: Floats) -> None:
        many = self.counts.shape[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            logit = np.log(chance) - np.log1p(-chance)
            losses = _entropy(label, chance), _entropy(chance, chance)
        bins = np.clip((logit + WIDEST) * (BINS / (2 * WIDEST)), 0, BINS - 1).astype(np.int64) + scenario * BINS
        for place, weight in enumerate((label, 1 - label, chance, 1 - chance)):
            self.counts[place] += np.bincount(bins, weight, many * BINS).reshape(many, BINS)
        for place, loss in enumerate(losses):
            self.loss[place] += np.bincount(scenario, loss, many)

    def best(self, names: tuple[str, ...], target: Target) -> Iterator[Best]:
        parts = [(name, self.counts[:, place], self.loss[:, place]) for place, name in enumerate(names)]
        for name, counts, loss in [*parts, ("*", self.counts.sum(1), self.loss.sum(1))]:
            positives, negatives = counts[0].sum(), counts[1].sum()
            n = positives + negatives
            rate = positives / n if n else 0.0
            yield Best(
                scenario=name,
                task=target.task,
                space=target.space,
                auc=_auc(counts[0], counts[1]),
                log_loss=float(loss[0] / n) if n else None,
                constant=float(_entropy(np.array([rate]), np.array([rate]))[0]) if n else None,
                expected_auc=_auc(counts[2], counts[3]),
                expected_log_loss=float(loss[1] / n) if n else None,
                n=round(n),
                positives=round(positives),
            )


def _entropy(true: Floats, predicted: Floats) -> Floats:
    """-q log p - (1 - q) log(1 - p), 0 log 0 = 0."""
    safe = np.where((predicted <= 0) | (predicted >= 1), 0.5, predicted)
    loss = -true * np.log(safe) - (1 - true) * np.log1p(-safe)
    loss = np.where(predicted <= 0, np.where(true == 0, 0.0, np.inf), loss)
    return np.where(predicted >= 1, np.where(true == 1, 0.0, np.inf), loss)


def _auc(positive: Floats, negative: Floats) -> float | None:
    """Area under the curve of weights in rising order of score."""
    pairs = float(positive.sum() * negative.sum())
    below = np.cumsum(negative) - 0.5 * negative
    return float((positive * below).sum() / pairs) if pairs > 0 else None


def _label(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.combine_chunks().cast(pa.float64()).fill_null(np.nan), np.float64)


def _blocks(folder: Path, schema: Schema, rows: slice) -> Iterator[tuple[pa.Table, pa.Table]]:
    try:
        log, truth = pq.ParquetFile(folder / "log.parquet"), pq.ParquetFile(folder / "truth.parquet")
    except (OSError, pa.ArrowInvalid) as reason:
        raise DataError(f"{folder} is no simulated world: {reason}. Write it with `polyrec simulate`.") from reason
    first, last, step = rows.indices(log.metadata.num_rows)
    if step != 1:
        raise DataError(f"rows = {rows}: only every row of a range can be judged. Leave out the step.")
    wanted: Any = [target.column for target in schema.targets]
    labels = ["scenario", *(task.label for task in schema.tasks)]
    at = 0
    for group in range(log.metadata.num_row_groups):
        size = log.metadata.row_group(group).num_rows
        low, high = max(first - at, 0), min(last - at, size)
        if low < high:
            pair = log.read_row_group(group, labels), truth.read_row_group(group, wanted)
            yield pair[0].slice(low, high - low), pair[1].slice(low, high - low)
        at += size
