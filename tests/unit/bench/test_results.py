import json

from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.bench.cell import Cell
from polyrec.bench.results import Results
from polyrec.config import RunConfig


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 200))
def test_a_kill_at_any_byte_of_a_line_loses_that_line_alone(tmp_path_factory, count, cut):
    path = tmp_path_factory.mktemp("bench") / "results.jsonl"
    results = Results(path)
    for place in range(count):
        results.add({"cell": f"w/é-{place}/seed-0", "value": place})
    whole = path.read_bytes()
    path.write_bytes(whole + json.dumps({"cell": "w/next/seed-0", "value": "x" * 300}).encode()[:cut])
    again = Results(path)
    assert [one["value"] for one in again] == list(range(count))
    again.add({"cell": "w/next/seed-0", "value": 9})
    assert [one["value"] for one in Results(path)] == [*range(count), 9]
    assert path.read_bytes().startswith(whole)


def test_the_latest_line_of_a_cell_counts(tmp_path):
    results = Results(tmp_path / "results.jsonl")
    results.add({"cell": "w/a/seed-0", "status": "failed"})
    results.add({"cell": "w/a/seed-0", "status": "done"})
    assert results.get("w/a/seed-0") == {"cell": "w/a/seed-0", "status": "done"}
    assert len(list(Results(results.path))) == 1
    assert results.get("w/b/seed-0") is None


def test_what_another_training_left_is_not_taken_for_this_ones(log, tmp_path):
    run = RunConfig.load(log / "run.toml")
    cell = Cell("mine", "pooled", "seed", 0)
    cell.write(tmp_path, run)
    left = cell.folder(tmp_path).path
    left.mkdir(parents=True)
    (left / "report.json").write_text("{}")
    cell.write(tmp_path, run)
    assert (left / "report.json").exists()
    log_file = log / "log.parquet"
    log_file.write_bytes(log_file.read_bytes() + b"more")
    cell.write(tmp_path, run)
    assert not list(left.iterdir())
