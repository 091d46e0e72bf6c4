"""A target scenario day by day: its teacher goes on too, and the student alone is served."""

import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.config import RunConfig
from polyrec.data.files import Source
from polyrec.errors import ConfigError, DataError
from polyrec.evaluation.report import Report
from polyrec.objectives.distill import row_losses
from polyrec.recipes.continual import course as learning
from polyrec.recipes.continual.course import Options
from polyrec.recipes.continual.state import State
from polyrec.recipes.continual.update import update
from polyrec.recipes.fit import fit
from polyrec.schema import Target
from polyrec.training import checkpoint

RUN = """recipe = "ecat-no-guard"
[data]
schema = "schema.toml"
train = ["train.parquet"]
valid = ["valid.parquet"]
test = ["test.parquet"]
[model]
dim = 4
widths = [8, 4]
tower_widths = []
[training]
threads = 1
batch_size = 128
epochs = 2
lr = 0.01
table_lr = 0.1
[stages.transfer]
epochs = 2
table_lr = 0.1
[stages.settled]
epochs = 2
[transfer]
target = "mini"
beta = 1.0
alpha = 0.1
"""
SCHEMA = """[keys]
scenario = "tab"
user = "user"
item = "item"
time = "time"
[[features]]
name = "user"
kind = "categorical"
side = "user"
[[features]]
name = "item"
kind = "categorical"
side = "item"
[[tasks]]
name = "click"
label = "click"
"""
pytestmark = pytest.mark.slow
NEW = 100  # an item of each day that is always clicked, and the next, never: in another scenario alone


def day(number, rows=1_600):
    chance = np.random.default_rng(number + 9)
    tab = chance.choice(["home", "feed", "mini"], rows, p=[0.45, 0.45, 0.1])
    item = chance.integers(0, 30, rows)
    new = (tab == "home") & (chance.random(rows) < 0.2) & (number > 0)
    item = np.where(new, NEW + 2 * number + chance.integers(0, 2, rows), item)
    click = np.where(new, item % 2 == 0, chance.random(rows) < np.where(item % 3 == 0, 0.6, 0.1))
    return pl.DataFrame(
        {
            "tab": tab,
            "user": chance.integers(0, 80, rows),
            "item": item,
            "time": np.sort(chance.integers(number * 100_000, (number + 1) * 100_000, rows)),
            "click": click.astype(int),
        }
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "run.toml").write_text(RUN)
    pl.concat([day(-4), day(-3)]).write_parquet(folder / "train.parquet")
    for number, name in ((-2, "valid"), (-1, "test"), (1, "day1"), (2, "day2")):
        day(number).write_parquet(folder / f"{name}.parquet")
    fit(RunConfig.load(folder / "run.toml"), folder / "run")
    return folder


@pytest.fixture(scope="module")
def whole(world):
    return update(world / "run", days(world), world / "whole")


def days(world):
    return [str(world / f"day{number}.parquet") for number in (1, 2)]


def state(out, number):
    return State.load(out.config(), out.path / "generations" / f"{number:06d}")


def asked(bundle, tab, items):
    rows = [{"tab": tab, "user": user, "item": item} for item in items for user in range(40)]
    return bundle.probabilities(bundle.encoder.encode_rows(rows))[Target("click")].reshape(len(items), -1).mean(1)


def loss(state, path):
    """Mean log-loss of the teacher over the rows of all scenarios in a file."""
    bundle = state.teachers()
    rows = [bundle.encoder.encode(table) for table in Source((path,)).tables()]
    with torch.no_grad():
        found = [row_losses(bundle.objective.predict(bundle.model(one)), one) for one in rows]
    return float(torch.cat(found).mean())


def test_the_teacher_has_learned_each_new_period_and_the_student_from_it(world, whole):
    states = [state(whole, number) for number in range(3)]
    for number in (1, 2):
        path = world / f"day{number}.parquet"
        assert loss(states[number], path) < loss(states[number - 1], path) - 0.02
        hit, miss = asked(states[number].teachers(), "home", (NEW + 2 * number, NEW + 2 * number + 1))
        assert hit > miss + 0.1
    moved = [one.learner.parts["model"].state_dict() for one in states]
    for one, other in pairwise(moved):
        assert any(not torch.equal(weight, other[name]) for name, weight in one.items() if "table" not in name)


def test_all_of_a_generation_is_there_and_the_student_alone_is_served(world, whole):
    for number in range(3):
        folder = whole.path / "generations" / f"{number:06d}"
        assert {one.name for one in folder.iterdir()} == {
            "bundle", "history.jsonl", "learner.safetensors", "state.json", "teacher.safetensors"
        }  # fmt: skip
    last = state(whole, 2)
    bundle = Bundle.load(whole.bundle)
    served = bundle.model.state_dict()
    assert all(torch.equal(served[name], one) for name, one in last.learner.parts["model"].state_dict().items())
    good, bad = asked(bundle, "mini", (3, 4))
    assert good > bad + 0.1
    assert not [name for name in checkpoint.load(folder / "learner.safetensors").tensors if "maps" in name]


def test_the_history_has_the_teacher_s_metrics_beside_the_student_s(whole):
    lines = [json.loads(one) for one in whole.history.read_text().splitlines()]
    assert "teacher" not in lines[0]
    for line in lines[1:]:
        known = ([row for row in line[key] if "value" in row] for key in ("cells", "teacher"))
        mine, theirs = ({row["scenario"] for row in rows} for rows in known)
        assert mine == theirs == {"*", "macro", "mini"}
        assert line["rows"] == 1_600
        assert line["trained"] > 1_600 * 0.95  # the teacher's rows, and the student's
    assert lines[1]["new values"]["item"] == 2
    assert lines[2]["cells"] != lines[2]["teacher"]


def test_a_day_that_was_killed_between_teacher_and_student_ends_the_same(world, whole, tmp_path, monkeypatch):
    train = learning.train
    trained = []

    def killed(stage, *words, **options):
        if trained == ["teacher"]:
            raise KeyboardInterrupt
        trained.append(stage.name)
        return train(stage, *words, **options)

    monkeypatch.setattr(learning, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        update(world / "run", days(world), tmp_path / "out")
    monkeypatch.setattr(learning, "train", train)
    out = update(world / "run", days(world), tmp_path / "out")
    for name in ("learner.safetensors", "teacher.safetensors"):
        one, other = (checkpoint.load(found.generations(4).current / name).tensors for found in (whole, out))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_run_s_balancer_goes_on_beside_the_teaching(world, tmp_path):
    run = RunConfig.load(world / "run.toml", {"training.balancer": "uncertainty"})
    fit(run, tmp_path / "run")
    assert update(tmp_path / "run", days(world), tmp_path / "out", options=Options(keep=4))
    kept = [checkpoint.load(tmp_path / "out" / "generations" / f"{number:06d}" / "learner.safetensors").tensors
            for number in range(3)]  # fmt: skip
    names = [name for name in kept[0] if name.startswith("weights/balancer/")]
    assert names
    for one, other in pairwise(kept):
        assert all(not torch.equal(one[name], other[name]) for name in names)
        assert one.keys() == other.keys()
    assert any(name.startswith("optimizer/adam.balancer.") for name in kept[2])
    assert not [name for name in kept[2] if "balanced" in name]


def test_what_update_cannot_do_with_a_teacher_is_said(world, tmp_path):
    with pytest.raises(ConfigError, match="replay is for recipes that learn from rows as they come"):
        update(world / "run", days(world), tmp_path / "out", options=Options(replay=0.1))
    run = RunConfig.load(world / "run.toml", {"transfer.teacher": str(world / "run" / "teacher")})
    fit(run, tmp_path / "given")
    with pytest.raises(ConfigError, match="was taught by the bundle"):
        update(tmp_path / "given", days(world), tmp_path / "out2")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_day_with_hardly_a_row_of_the_target_is_learned_from_and_one_without_is_refused(world, tmp_path, count):
    rows = day(3).with_row_index("place")
    few = rows.filter(pl.col("tab") == "mini").head(count)["place"]
    path = tmp_path / "few.parquet"
    rows.filter((pl.col("tab") != "mini") | pl.col("place").is_in(few.implode())).drop("place").write_parquet(path)
    if count == 0:
        with pytest.raises(DataError, match="no row of the target 'mini'"):
            update(world / "run", [str(path)], tmp_path / "out", options=Options(force=True, hold=0.0))
        return
    out = update(world / "run", [str(path)], tmp_path / "out", options=Options(force=True, hold=0.0))
    assert out.generations(2).current.name == "000001"


@pytest.mark.long
@pytest.mark.parametrize("recipe", ["ecat", "ecat-paper", "ecat-static-teacher", "target_only", "ctnet", "dann"])
def test_every_kind_of_transfer_goes_on_or_says_why_not(world, tmp_path, recipe):
    run = RunConfig.load(world / "run.toml", {"recipe": recipe})
    if recipe in ("ecat-paper", "target_only", "ctnet", "dann"):
        run = RunConfig(recipe, run.data, training=run.training, transfer={"target": "mini"})
    folder = fit(run, tmp_path / "run")
    kept = Report.load(folder.report).extra["transfer"]["kept"]
    if recipe == "dann":
        with pytest.raises(ConfigError, match="adversary"):
            update(tmp_path / "run", days(world), tmp_path / "out")
        return
    out = update(tmp_path / "run", days(world), tmp_path / "out")
    last = state(out, 2)
    assert (last.teacher is not None) == (kept in ("transfer", "settled"))
    if recipe == "ecat-static-teacher":
        before, after = (state(out, number).teacher.parts["model"].state_dict() for number in (0, 2))
        name = "towers.network.layers.0.weight"
        assert torch.equal(before[name], after[name])
