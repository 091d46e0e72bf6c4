import pytest

from polyrec.training.events import Events, read


@pytest.fixture
def events(tmp_path):
    return Events(tmp_path / "new" / "events.jsonl")


def add(events, stage, *steps, before=0):
    for step in steps:
        events.add("step", stage=stage, step=step, total_step=before + step)


def test_every_event_is_a_line_with_its_time(events):
    events.add("evaluation", score=0.5, cells={"home/click": 0.4})
    events.add("step", step=1)
    first, second = read(events.path)
    assert (first["kind"], first["score"], first["cells"]) == ("evaluation", 0.5, {"home/click": 0.4})
    assert first["time"] <= second["time"]
    assert events.path.read_text().count("\n") == 2


def test_a_line_that_was_cut_off_is_left_out(events):
    add(events, "a", 1, 2)
    with events.path.open("a") as file:
        file.write('{"kind": "ste')
    assert [line["step"] for line in read(events.path)] == [1, 2]


def test_cutting_drops_what_came_after(events):
    add(events, "a", 1, 2)
    here = events.size()
    add(events, "a", 3)
    events.cut(here)
    assert [line["step"] for line in read(events.path)] == [1, 2]


def test_cutting_further_out_than_the_end_changes_nothing(events):
    add(events, "a", 1)
    events.cut(10_000)
    assert events.size() < 10_000


def test_a_stage_begun_again_drops_its_own_lines_and_counts_those_before(events):
    add(events, "a", 1, 2)
    add(events, "b", 1, 2, before=2)
    assert events.begin("b") == 2
    assert [(line["stage"], line["step"]) for line in read(events.path)] == [("a", 1), ("a", 2)]
    assert events.begin("a") == 0
    assert read(events.path) == []


def test_a_new_stage_drops_a_line_that_was_cut_off(events):
    add(events, "a", 1)
    with events.path.open("a") as file:
        file.write('{"kind": "ste')
    assert events.begin("b") == 1
    add(events, "b", 1, before=1)
    assert [line["total_step"] for line in read(events.path)] == [1, 2]


def test_a_file_that_is_not_there_has_no_events(tmp_path):
    assert read(tmp_path / "none.jsonl") == []


def test_what_is_no_json_number_is_refused(events):
    with pytest.raises(ValueError, match="Out of range float"):
        events.add("step", loss=float("nan"))
    assert read(events.path) == []
