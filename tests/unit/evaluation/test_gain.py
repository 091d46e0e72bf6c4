"""The share of the possible gain, from worlds whose truth is known."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyrec.errors import DataError
from polyrec.evaluation.gain import METRIC, gains
from polyrec.metrics.binary import auc


def write(path, rows, before=0, **changed):
    """The truth of these rows, after `before` others."""
    columns = {}
    for target, logits in rows.logits.items():
        columns[target.column] = 1 / (1 + np.exp(-logits.astype(np.float64)))
        if target.space == "all":
            columns[target.task] = rows.labels[target].astype(np.int8)
    columns |= changed
    table = pa.table({name: np.concatenate([np.zeros(before, one.dtype), one]) for name, one in columns.items()})
    pq.write_table(table, path)
    return path


def test_the_truth_itself_has_all_of_the_gain_and_a_constant_none(world, tmp_path):
    rows = world()
    truth = write(tmp_path / "truth.parquet", rows, before=100)
    assert all(one.value == pytest.approx(1.0, abs=1e-4) for one in gains(rows, truth))
    flat = replace(rows, logits={target: np.zeros_like(one) for target, one in rows.logits.items()})
    assert all(one.value == 0.0 for one in gains(flat, truth))


def test_a_cell_has_its_aucs_share_between_chance_and_the_truth(world, noisy, tmp_path):
    rows = world()
    truth, worse = write(tmp_path / "truth.parquet", rows), noisy(rows, 1.5)
    found = {(one.scenario, one.task, one.space): one for one in gains(worse, truth)}
    assert len(found) == 4 * len(rows.targets)
    for target in rows.targets:
        for name, of in [(f"s{place}", rows.scenario == place) for place in range(3)] + [("*", rows.scenario >= 0)]:
            at = of & rows.inside[target]
            mine, best = (auc(one.logits[target][at], rows.labels[target][at]).value for one in (worse, rows))
            one = found[name, target.task, target.space]
            assert one.metric == METRIC
            assert one.value == pytest.approx((mine - 0.5) / (best - 0.5), rel=1e-4)
            assert (one.n, one.positives) == (at.sum(), rows.labels[target][at].sum())


def test_a_cell_of_one_class_says_so(world, tmp_path):
    rows = world()
    none = {target: np.zeros(len(rows), bool) for target in rows.targets}
    rows = replace(rows, labels=none)
    assert {one.note for one in gains(rows, write(tmp_path / "truth.parquet", rows))} == {"no positives"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path, rows: path.write_text("?"), r"cannot be read.*Name the truth.parquet"),
        (lambda path, rows: pq.write_table(pq.read_table(path).drop_columns(["p_buy"]), path), r"column 'p_buy'"),
        (
            lambda path, rows: pq.write_table(pq.read_table(path).slice(1), path),
            r"has 2,999 rows, fewer than the 3,000",
        ),
        (
            lambda path, rows: write(path, rows, click=1 - rows.labels[rows.targets[0]].astype(np.int8)),
            r"is of other rows: its last 3,000 have other labels of 'click'",
        ),
    ],
)
def test_another_truth_is_refused(world, tmp_path, spoil, message):
    rows = world()
    path = write(tmp_path / "truth.parquet", rows)
    spoil(path, rows)
    with pytest.raises(DataError, match=message):
        gains(rows, path)
