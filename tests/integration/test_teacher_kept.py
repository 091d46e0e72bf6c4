"""A world where the model of all scenarios is best for the target: the guard keeps it, it is served, and it goes on."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.config import RunConfig
from polyrec.errors import ConfigError
from polyrec.evaluation.report import Report
from polyrec.recipes.continual.course import Options
from polyrec.recipes.continual.update import update
from polyrec.recipes.fit import fit
from polyrec.recipes.rows import Rows
from polyrec.recipes.transferring import TEACHER
from polyrec.schema import Target

RUN = """recipe = "ecat"
[data]
schema = "schema.toml"
train = ["train.parquet"]
valid = ["valid.parquet"]
test = ["test.parquet"]
[model]
dim = 4
widths = [8]
tower_widths = []
[training]
threads = 1
batch_size = 256
epochs = 6
evaluations = 1
lr = 0.01
table_lr = 0.1
[transfer]
target = "mini"
beta = 0.1
alpha = 0.0
period = 250_000
"""
SCHEMA = """[keys]
scenario = "tab"
user = "user"
item = "item"
time = "time"
[[features]]
name = "item"
kind = "categorical"
[[tasks]]
name = "click"
label = "click"
"""
pytestmark = pytest.mark.slow


def period(number, rows, target, *, spoilt=False):
    """Items divisible by three are liked, in every scenario alike; `spoilt`: the target's clicks are of chance."""
    chance = np.random.default_rng(number + 9)
    tab = chance.choice(["home", "feed", "mini"], rows, p=[0.5 - target / 2, 0.5 - target / 2, target])
    item = chance.integers(0, 30, rows)
    rate = np.where((tab == "mini") & spoilt, 0.3, np.where(item % 3 == 0, 0.7, 0.1))
    return pl.DataFrame(
        {
            "tab": tab,
            "user": chance.integers(0, 400, rows),
            "item": item,
            "time": np.sort(chance.integers(number * 1_000_000, (number + 1) * 1_000_000, rows)),
            "click": (chance.random(rows) < rate).astype(int),
        }
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "run.toml").write_text(RUN)
    # Tuning on rows that say nothing leaves a teacher that knew; no epoch of it is none.
    period(0, 6_000, 0.1, spoilt=True).write_parquet(folder / "train.parquet")
    for number, name in ((1, "valid"), (2, "test"), (3, "day")):
        period(number, 4_000, 0.5).write_parquet(folder / f"{name}.parquet")
    return folder


def run_of(world, **settings):
    return RunConfig.load(world / "run.toml", settings)


@pytest.fixture(scope="module")
def folder(world):
    return fit(run_of(world), world / "run")


def weights(path):
    return Bundle.load(path).model.state_dict()


def test_the_teacher_is_kept_and_served_where_nothing_is_better(folder):
    told = Report.load(folder.report).extra["transfer"]
    found = {one["name"]: one for one in told["endings"]}
    assert list(found) == ["teacher", "target", "tuned", "transfer", "settled"]
    assert told["kept"] == TEACHER == min(found, key=lambda name: found[name]["log_loss"])
    assert found[TEACHER]["gain"] > told["margin"] * found[TEACHER]["error"] > 0
    assert told["verdict"].startswith("Transfer does not help: the teacher as it is")
    assert "all scenarios: the teacher as it is" in folder.page.read_text()
    served, teacher = weights(folder.bundle), weights(folder.path / TEACHER)
    assert all(torch.equal(one, teacher[name]) for name, one in served.items())
    held = {"scenario": "mini", "share": 0.25}
    assert Bundle.load(folder.bundle).manifest.trained_on["held"] == held
    score = json.loads(folder.validation.read_text())["score"]
    assert score == pytest.approx(-found[TEACHER]["log_loss"], abs=0.05)  # the other half of the target's rows


def test_it_answers_for_every_scenario(folder):
    bundle = Bundle.load(folder.bundle)
    for tab in ("home", "feed", "mini"):
        rows = bundle.encoder.encode_rows([{"tab": tab, "user": 1, "item": item} for item in range(30)])
        found = bundle.probabilities(rows)[Target("click")].numpy()
        assert found[::3].min() > np.delete(found, np.s_[::3]).max()


def test_it_goes_on_with_the_rows_of_every_scenario(world, folder, tmp_path):
    out = update(folder.path, [str(world / "day.parquet")], tmp_path / "out", options=Options(force=True, hold=0.0))
    line = json.loads(out.history.read_text().splitlines()[1])
    assert (line["rows"], line["trained"]) == (4_000, 4_000)
    assert {row["scenario"] for row in line["cells"]} >= {"mini"}
    moved, before = weights(out.bundle), weights(folder.bundle)
    assert any(not torch.equal(one, before[name]) for name, one in moved.items())


def test_a_given_teacher_is_kept_as_it_is_and_does_not_go_on(world, folder, tmp_path, monkeypatch):
    teacher, collected, tested = folder.path / TEACHER, Rows.collected, []

    def counted(self, score, source, *words, **options):
        tested.append(source.paths[0].name == "test.parquet")
        return collected(self, score, source, *words, **options)

    monkeypatch.setattr(Rows, "collected", counted)
    run = run_of(world, **{"transfer.teacher": str(teacher)})
    again = fit(run, tmp_path / "again")
    assert Report.load(again.report).extra["transfer"]["kept"] == TEACHER
    assert sum(tested) == 5  # every stage once, the one that is kept among them
    one, other = weights(again.bundle), weights(teacher)
    assert all(torch.equal(one[name], other[name]) for name in other)
    mine, given = (Bundle.load(path).manifest for path in (again.bundle, teacher))
    assert (mine.trained_on, mine.model, mine.objective) == (given.trained_on, given.model, given.objective)
    with pytest.raises(ConfigError, match="kept its teacher as it is"):
        update(again.path, [str(world / "day.parquet")], tmp_path / "out")
