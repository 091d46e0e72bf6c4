"""The folder of scores keeps what going on needs, and nothing else when work in it ends early."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyrec.cluster.output import Output
from polyrec.cluster.parts import Part
from polyrec.errors import ConfigError, DataError

PLAN = {"format": 1, "bundle": "b", "files": []}
PART = Part(0, "log.parquet", 0, 1)


def fail(output, score):
    """Work that fails after this."""

    def work():
        with output.claimed(PLAN):
            with output.writing(PART) as draft:
                pq.write_table(pa.table({"p": [0.5]}), draft)
                if not score:
                    raise DataError("no such scenario.")
            (output.path / ".unfinished" / "other.parquet").write_text("half")
            raise DataError("no such scenario.")

    with pytest.raises(DataError):
        work()


@pytest.mark.parametrize("there", [False, True])
def test_work_that_fails_before_a_part_is_complete_leaves_nothing(there, tmp_path):
    output = Output(tmp_path / "scores")
    if there:
        output.path.mkdir()
    fail(output, score=False)
    assert [one.name for one in tmp_path.rglob("*")] == ["scores"] * there


def test_work_that_fails_later_keeps_what_is_complete_and_goes_on(tmp_path):
    output = Output(tmp_path / "scores")
    fail(output, score=True)
    assert sorted(one.name for one in output.path.iterdir()) == [PART.file, "plan.json"]
    with pytest.raises(ConfigError, match="bundle differ"), output.claimed({**PLAN, "bundle": "c"}):
        pass
    with output.claimed(PLAN):
        assert output.complete(PART) == 1
        output.finish(PLAN, [(PART, 1)])
    assert sorted(one.name for one in output.path.iterdir()) == ["manifest.json", PART.file, "plan.json"]


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(ConfigError, match="not empty"), Output(tmp_path).claimed(PLAN):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["thesis.txt"]
