from dataclasses import replace

import numpy as np
import pytest

from polyrec.errors import DataError
from polyrec.evaluation.report import Report
from polyrec.evaluation.validation import validation
from polyrec.schema import Cell


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_cells_are_those_of_the_report_and_weigh_the_same(world, metric):
    rows = world()
    found = validation(rows, metric)
    report = Report.build(rows, recipe="mmoe", split="valid")
    assert len(found.cells) == 9
    for cell, value in found.cells.items():
        assert value == pytest.approx(report.get(cell.scenario, cell.target, metric).value, rel=1e-6)
    assert found.mean == pytest.approx(np.mean(list(found.cells.values())))


def test_undefined_cells_are_left_out_of_the_mean(world):
    rows = world()
    labels = {target: one & (rows.scenario != 0) for target, one in rows.labels.items()}
    cells, mean = validation(replace(rows, labels=labels, scenarios=(*rows.scenarios, "empty")))
    assert Cell("s0", "click") not in cells
    assert len(cells) == 6
    assert mean == pytest.approx(np.mean(list(cells.values())))


def test_rows_of_undeclared_scenarios_take_no_part(world):
    rows = world()
    kept = rows.scenario > 0
    some = validation(replace(rows, scenario=np.where(kept, rows.scenario, -1)))
    assert some.cells == {cell: one for cell, one in validation(rows).cells.items() if cell.scenario != "s0"}


def test_nothing_defined_has_no_mean(world):
    assert validation(world(0)) == ({}, None)
    assert validation(world(0), "log_loss") == ({}, None)


def test_nan_is_refused(world):
    rows = world(100)
    rows.logits[rows.targets[0]][0] = np.nan
    with pytest.raises(DataError, match="target 'click': 1 of 100 logits are NaN"):
        validation(rows)
