import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyrec.data import runs as module
from polyrec.data.counted import Counted
from polyrec.data.keys import read_keys
from polyrec.data.runs import Runs
from polyrec.data.spill import Space

FAST = settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


pytestmark = pytest.mark.usefixtures("temporary")


def summed(block):
    return block.group_by("value", maintain_order=True).agg(pl.col("count").sum())


@FAST
@given(
    parts=st.lists(st.lists(st.integers(-5, 25), min_size=1, max_size=30), max_size=20),
    width=st.integers(2, 5),
    bytes_=st.sampled_from([1, 60, 400]),
)
def test_any_number_of_runs_is_merged_a_few_at_a_time(parts, width, bytes_):
    opened = []
    with pytest.MonkeyPatch.context() as patch, Space() as space:
        patch.setattr(module, "WIDTH", width)
        patch.setattr(module, "BLOCK", bytes_)
        cursor = module._merged
        patch.setattr(module, "_merged", lambda cursors, by: opened.append(len(cursors)) or cursor(cursors, by))
        runs = Runs(["value"], space, summed)
        for part in parts:
            values, counts = np.unique(part, return_counts=True)
            runs.write(pl.DataFrame({"value": values, "count": counts.astype(np.int64)}))
        found = pl.concat([*runs.merged(), pl.DataFrame(schema={"value": pl.Int64, "count": pl.Int64})])
    values, counts = np.unique(np.array([one for part in parts for one in part], np.int64), return_counts=True)
    assert found["value"].to_list() == values.tolist()
    assert found["count"].to_list() == counts.tolist()
    assert max(opened, default=0) <= width
    assert len(opened) == (0 if not parts else 1 + max(0, -(-(len(parts) - width) // (width - 1))))


def test_what_has_been_merged_takes_no_disk_and_what_is_lent_stays(temporary, monkeypatch):
    monkeypatch.setattr(module, "WIDTH", 2)
    with Space() as space:
        made = space.file()
        frame = pl.DataFrame({"value": np.arange(3)})
        with pa.ipc.new_file(made, module.plain(frame).schema) as writer:
            for block in module.blocks(module.plain(frame)):
                writer.write_batch(block)
        runs = Runs(["value"], space)
        for start in range(5):
            runs.write(pl.DataFrame({"value": np.arange(start, 100, 5)}))
            runs._close()  # a file each
        runs.lend((made, range(1)))
        left = [sorted(path.name for path in space.folder.iterdir()) for _ in runs.merged()]
        assert left[-1] == [made.name]
        assert pa.ipc.open_file(made).read_all()["value"].to_pylist() == [0, 1, 2]


def test_counts_of_a_column_are_the_same_in_rounds(monkeypatch):
    random = np.random.default_rng(0)
    chunks = [random.zipf(1.4, 300) % 200 for _ in range(10)]
    found = {}
    for width in (2, 256):
        monkeypatch.setattr(module, "WIDTH", width)
        monkeypatch.setenv("POLYREC_VOCABULARY_MB", "100")
        counted = Counted("x")
        with Space() as space:
            for chunk in chunks:
                counted.add(read_keys(pa.array(chunk), "x"))
                counted.spill(space)
            found[width] = np.concatenate(list(counted.frequent(2))).tolist()
    values, counts = np.unique(np.concatenate(chunks), return_counts=True)
    expected = values[np.lexsort((values, -counts))][: int((counts >= 2).sum())].tolist()
    assert found[2] == found[256] == expected
