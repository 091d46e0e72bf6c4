"""How much of what could be known a model knows: its AUC between chance and the truth's own, cell by cell."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.data.simulate import share_of_gain
from polyrec.errors import DataError, unknown
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.groups import Groups
from polyrec.evaluation.rows import Row
from polyrec.metrics.binary import auc
from polyrec.schema import ALL, Target
from polyrec.shapes import Float

METRIC = "share_of_gain"


def gains(collected: Collected, truth: str | Path) -> tuple[Row, ...]:
    """Report lines of the share of the possible gain, for rows of a simulated log.

    Formula:
        (AUC of the model - 1/2) / (AUC of the true probabilities - 1/2), both on the same rows and labels:
        0 as good as a constant, 1 as good as the truth. Chance may carry a small cell beyond either.

    Args:
        collected: predictions and labels of the log's last rows, in the log's order.
        truth: `truth.parquet` of that log; its last rows are taken.

    Raises:
        DataError: the truth cannot be read, lacks a target, has fewer rows, or is of other rows.
    """
    known = _last(Path(truth), collected)
    groups, rows = Groups.of(collected), []
    for target in collected.targets:
        best = known[target]
        for name, at in groups.cells(collected, target):
            labels = collected.labels[target][at]
            mine, theirs = auc(collected.logits[target][at], labels), auc(best[at], labels)
            value, note = None, mine.note
            if mine.value is not None and theirs.value is not None:
                value = share_of_gain(mine.value, 0.5, theirs.value)
                note = "the truth ranks no better than chance" if value is None else None
            counts = {"n": len(labels), "positives": int(labels.sum())}
            rows.append(Row(name, target.task, target.space, METRIC, value, note=note, **counts))
    return tuple(rows)


def _last(path: Path, collected: Collected) -> Mapping[Target, Float[np.ndarray, "B"]]:
    """The true probability of every target on the last rows, once their labels are seen to be the same."""
    wanted = [target.column for target in collected.targets]
    tasks = [target.task for target in collected.targets if target.space == ALL]
    try:
        there = pq.read_schema(path).names
        missing = [name for name in (*wanted, *tasks) if name not in there]
        table = pq.read_table(path, columns=[*wanted, *tasks]) if not missing else None
    except (OSError, pa.ArrowInvalid) as reason:
        raise DataError(f"{path} cannot be read: {reason}. Name the truth.parquet of `polyrec simulate`.") from reason
    if table is None:
        raise DataError(f"{path}: {unknown('column', missing[0], there, 'there')}")
    if table.num_rows < len(collected):
        raise DataError(
            f"{path} has {table.num_rows:,} rows, fewer than the {len(collected):,} scored. Name their truth."
        )
    table = table.slice(table.num_rows - len(collected))
    for target in collected.targets:
        if target.space == ALL:
            inside = collected.inside[target]
            said = np.asarray(table[target.task]) > 0
            if not np.array_equal(said[inside], collected.labels[target][inside]):
                raise DataError(
                    f"{path} is of other rows: its last {len(collected):,} have other labels of {target.task!r}. "
                    "Score the last rows of the log that it was written with, in their order."
                )
    return {target: np.asarray(table[target.column], np.float32) for target in collected.targets}
