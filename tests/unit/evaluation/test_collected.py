from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyrec.errors import DataError
from polyrec.evaluation.collected import Collected


def test_what_is_saved_is_loaded(world, tmp_path):
    rows = world(500)
    rows.scenario[:3] = -1
    rows.logits[rows.targets[0]][7] = np.inf
    found = Collected.load(rows.save(tmp_path / "deep" / "test.parquet"))
    assert (found.targets, found.scenarios) == (rows.targets, rows.scenarios)
    assert (found.scenario == rows.scenario).all()
    assert (found.user == rows.user).all()
    for target in rows.targets:
        assert (found.logits[target] == rows.logits[target]).all()
        assert (found.inside[target] == rows.inside[target]).all()
        assert (found.labels[target] == rows.labels[target]).all()
        assert found.labels[target].dtype == bool
    assert found.fingerprint == rows.fingerprint


def test_a_saved_label_is_null_outside_its_space(world, tmp_path):
    rows = world(200)
    table = pq.read_table(rows.save(tmp_path / "test.parquet"))
    target = rows.targets[2]
    assert table.column_names[:4] == ["scenario", "user", "logit_click", "label_click"]
    assert table["label_buy_given_click"].null_count == int((~rows.inside[target]).sum()) > 0
    assert table["scenario"][0].as_py() == rows.scenarios[rows.scenario[0]]


def test_no_rows_can_be_saved_too(world, tmp_path):
    rows = world(0)
    assert len(Collected.load(rows.save(tmp_path / "test.parquet"))) == 0


def test_the_fingerprint_is_of_the_rows_and_not_of_the_predictions(world, noisy):
    rows = world(300)
    assert noisy(rows, 1.0).fingerprint == rows.fingerprint
    assert world(300, seed=1).fingerprint != rows.fingerprint
    for name in ("labels", "inside"):
        changed = dict(getattr(rows, name))
        changed[rows.targets[0]] = changed[rows.targets[0]].copy()
        changed[rows.targets[0]][11] ^= True
        assert replace(rows, **{name: changed}).fingerprint != rows.fingerprint
    for name in ("user", "scenario"):
        column = getattr(rows, name).copy()
        column[5] = column[5] + 1 if column[5] != 2 else 0
        assert replace(rows, **{name: column}).fingerprint != rows.fingerprint


def test_the_order_of_declared_scenarios_does_not_change_the_fingerprint(world):
    rows = world(300)
    turned = replace(rows, scenarios=("none", "s2", "s1", "s0"), scenario=3 - rows.scenario)
    assert turned.fingerprint == rows.fingerprint
    renamed = replace(rows, scenarios=("a", "s1", "s2"))
    assert renamed.fingerprint != rows.fingerprint


def test_a_changed_file_is_refused(world, tmp_path):
    path = world(50).save(tmp_path / "test.parquet")
    table = pq.read_table(path)
    users = pa.array(np.arange(50))
    pq.write_table(table.set_column(1, "user", users), path)
    with pytest.raises(DataError, match=r"was changed after it was written: its fingerprint differs\. Run"):
        Collected.load(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.parquet cannot be read as predictions"):
        Collected.load(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("not parquet")
    with pytest.raises(DataError, match=r"text\.parquet cannot be read as predictions"):
        Collected.load(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"holds no predictions of version 1 \(found None\)\. Name the test\.parquet"):
        Collected.load(tmp_path / "other.parquet")
