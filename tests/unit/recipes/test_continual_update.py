"""Going on with a fit: what is passed over, what is never learned from, what a folder may be."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from polyrec.config import RunConfig
from polyrec.data.files import Source
from polyrec.errors import ConfigError, DataError, NotReadyError
from polyrec.evaluation.pages.continual import history_table
from polyrec.recipes.continual import course as learning
from polyrec.recipes.continual.course import Options
from polyrec.recipes.continual.update import rollback, update
from polyrec.recipes.fit import fit
from polyrec.training import checkpoint

RUN = """recipe = "mmoe"
[data]
schema = "schema.toml"
train = ["train.parquet"]
valid = ["valid.parquet"]
test = ["test.parquet"]
[model]
dim = 2
expert_widths = [4]
tower_widths = []
[training]
batch_size = 256
epochs = 1
threads = 1
checkpoint_steps = 2
"""
SCHEMA = """[keys]
scenario = "tab"
user = "user"
item = "item"
time = "time"
[[features]]
name = "user"
kind = "categorical"
[[features]]
name = "item"
kind = "categorical"
[[tasks]]
name = "click"
label = "click"
"""


def day(number, rows=1_200, items=40):
    chance = np.random.default_rng(number + 9)
    item = chance.integers(0, items, rows)
    return pl.DataFrame(
        {
            "tab": chance.choice(["home", "feed"], rows),
            "user": chance.integers(0, 200, rows),
            "item": item,
            "time": np.sort(chance.integers(number * 100_000, (number + 1) * 100_000, rows)),
            "click": (chance.random(rows) < np.where(item % 3 == 0, 0.6, 0.1)).astype(int),
        }
    )


def fitted(folder, **settings):
    folder.mkdir(exist_ok=True)
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "run.toml").write_text(RUN)
    pl.concat([day(-4), day(-3)]).write_parquet(folder / "train.parquet")
    for number, name in ((-2, "valid"), (-1, "test"), (1, "day1"), (2, "day2"), (3, "day3")):
        day(number).write_parquet(folder / f"{name}.parquet")
    fit(RunConfig.load(folder / "run.toml", settings), folder / "run")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("world") / "fit")


def lines(out):
    return [json.loads(one) for one in out.history.read_text().splitlines()]


def learned(out, number):
    return checkpoint.load(out.path / "generations" / f"{number:06d}" / "learner.safetensors").tensors


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def keys(path):
    return set(pl.read_parquet(path).select("user", "item", "time", "tab").iter_rows())


def test_an_attempt_that_was_killed_does_not_go_on_with_labels_that_have_been_mended(world, tmp_path, monkeypatch):
    path, train = tmp_path / "day.parquet", learning.train
    day(1).with_columns(click=1 - pl.col("click")).write_parquet(path)

    def killed(*words, **options):
        train(*words, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(learning, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        update(world / "run", [str(path)], tmp_path / "out", options=Options(force=True))
    monkeypatch.setattr(learning, "train", train)
    day(1).write_parquet(path)
    mended = update(world / "run", [str(path)], tmp_path / "out")
    straight = update(world / "run", [str(path)], tmp_path / "straight")
    assert same(learned(mended, 1), learned(straight, 1))


def test_rows_that_tell_what_is_forgotten_are_never_learned_from_also_when_the_test_rows_are_given(
    world, tmp_path, monkeypatch
):
    read, train = set(), learning.train

    def watched(stage, model, objective, balancer, loader, *words, **options):
        names = ["user", "item", "time", "tab"]
        for table in loader.source.tables(names):
            read.update(zip(*(table[name].to_pylist() for name in names), strict=True))
        return train(stage, model, objective, balancer, loader, *words, **options)

    monkeypatch.setattr(learning, "train", watched)
    out = update(world / "run", [str(world / "test.parquet"), str(world / "day1.parquet")], tmp_path / "out",
                 options=Options(hold=0.2))  # fmt: skip
    later = update(out.path, [str(world / "day2.parquet")], options=Options(hold=0.0))
    assert len(read) > 2_500
    held = [keys(later.sample("held", number)) for number in range(4)]
    assert [len(one) for one in held] == pytest.approx([240] * 4, abs=60)
    assert held[0] == held[1]
    assert not read.intersection(*[set.union(*held)])
    assert set(lines(later)[-1]["held"]) == {"0", "1", "2", "3"}


def test_without_keys_that_tell_rows_nothing_is_kept_of_the_fit(world, tmp_path):
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "schema.toml").write_text("".join(one + "\n" for one in SCHEMA.splitlines() if "time" not in one
                                                and one != 'item = "item"'))  # fmt: skip
    (folder / "run.toml").write_text(RUN)
    for name in ("train", "valid", "test"):
        pl.read_parquet(world / f"{name}.parquet").write_parquet(folder / f"{name}.parquet")
    fit(RunConfig.load(folder / "run.toml"), folder / "run")
    out = update(folder / "run", [str(world / "day1.parquet")], tmp_path / "out")
    assert not out.sample("held", 0).exists()
    assert set(lines(out)[-1]["held"]) == {"1"}


def test_a_pattern_that_grows_is_cut_into_periods_that_are_learned_from_once(world, tmp_path):
    pattern, told = str(tmp_path / "log-*.parquet"), []
    day(1).write_parquet(tmp_path / "log-1.parquet")
    update(world / "run", [pattern], tmp_path / "out", every="100000")
    pl.concat([day(2), day(1).head(7).with_columns(time=pl.col("time") + 1)]).write_parquet(tmp_path / "log-2.parquet")
    out = update(world / "run", [pattern], tmp_path / "out", every="100000", log=told.append)
    assert [(one["name"], one["rows"]) for one in lines(out)[1:]] == [("time 100000", 1_200), ("time 200000", 1_200)]
    assert "with 1,200 rows; it has 1,207 now, and nothing is learned from the others" in told[0]


def test_a_day_of_one_row_is_told_that_nothing_judges_it(world, tmp_path):
    told = []
    day(1).head(1).write_parquet(tmp_path / "one.parquet")
    out = update(world / "run", [str(tmp_path / "one.parquet")], tmp_path / "out", log=told.append)
    assert lines(out)[1]["notes"][0].startswith("the AUC of click is undefined in 1 row: ")
    assert [one for one in told if "warning: one: the AUC of click is undefined" in one]
    assert "one: 1 row, AUC before training undefined; generation 1" in told


def test_a_refusal_that_asks_ends_with_its_question(world, tmp_path):
    day(1).rename({"item": "items"}).write_parquet(tmp_path / "day.parquet")
    with pytest.raises(DataError, match=r"Did you mean 'items'\? Nothing was learned from it; generation 0 stands\."):
        update(world / "run", [str(tmp_path / "day.parquet")], tmp_path / "out")


def test_a_folder_that_is_not_there_is_said_and_none_is_made(tmp_path):
    for out in (None, tmp_path / "out"):
        with pytest.raises(NotReadyError, match=r"gone does not exist\. Name a folder that `polyrec fit`"):
            update(tmp_path / "gone", ["day.parquet"], out)
    (tmp_path / "file").write_text("")
    for name, words in (("gone", "does not exist"), ("file", "is a file")):
        with pytest.raises(NotReadyError, match=words):
            rollback(tmp_path / name)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_the_option_that_is_out_of_its_bounds_is_told_alone():
    with pytest.raises(ConfigError) as told:
        Options(replay=1.5)
    assert str(told.value) == "replay = 1.5 must be at least 0 and less than 1."
    with pytest.raises(ConfigError, match=r"^epochs = 0 must be at least 1; hold = -0\.1 must be at least 0"):
        Options(epochs=0, hold=-0.1)


def test_the_table_says_which_metric_it_shows(world, tmp_path):
    out = update(world / "run", [str(world / "day1.parquet")], tmp_path / "out")
    table = history_table(lines(out)).splitlines()
    assert table[0].startswith("AUC over all rows of each period before training on it")
    assert table[2].split() == ["generation", "period", "rows", "click", "forgotten"]


def test_one_wrong_clock_is_told_and_makes_no_later_day_late(world, tmp_path):
    told, wrong = [], pl.when(pl.int_range(pl.len()) == 3).then(10**9).otherwise(pl.col("time"))
    day(1).with_columns(time=wrong).write_parquet(tmp_path / "day1.parquet")
    paths = [str(tmp_path / "day1.parquet"), str(world / "day2.parquet")]
    out = update(world / "run", paths, tmp_path / "out", log=told.append)
    found = lines(out)
    assert found[1]["time"][1] == 10**9
    assert "the last time is 1000000000" in found[1]["notes"][0]
    assert any("99 of 100 rows" in one for one in told)
    assert (found[2]["late"], found[2]["notes"]) == (0, [])


def test_generations_of_another_folder_are_refused_not_passed_over(world, tmp_path):
    one = update(world / "run", [str(world / "day1.parquet")], tmp_path / "one")
    update(world / "run", [str(world / "day2.parquet")], tmp_path / "two")
    for out in (tmp_path / "two", tmp_path / "new"):
        with pytest.raises(ConfigError, match="holds generations of its own"):
            update(one.path, [str(world / "day3.parquet")], out)
    link = tmp_path / "link"
    link.symlink_to(one.path)
    again = update(link, [str(world / "day2.parquet")], one.path)
    assert len(lines(again)) == 3


def test_rows_of_a_period_that_was_gone_back_from_are_not_judged_as_another_s(world, tmp_path):
    out = update(world / "run", [str(world / "day1.parquet")], tmp_path / "out", options=Options(hold=0.2))
    rollback(out.path)
    assert not out.sample("held", 1).exists()
    assert not out.sample("replay", 1).exists()
    again = update(out.path, [str(world / "day2.parquet")])
    assert keys(again.sample("held", 1)) < keys(world / "day2.parquet")
    assert keys(again.sample("replay", 1)) < keys(world / "day2.parquet")


def test_a_run_of_one_scenario_gets_a_second_one_with_lazy_weights(tmp_path):
    folder = tmp_path / "fit"
    folder.mkdir()
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "run.toml").write_text(RUN.replace('"mmoe"', '"single"').replace("expert_widths = [4]", "")
                                     .replace("tower_widths", "widths"))  # fmt: skip
    for number, name in ((-3, "train"), (-2, "valid"), (-1, "test")):
        day(number).with_columns(tab=pl.lit("home")).write_parquet(folder / f"{name}.parquet")
    day(1).write_parquet(folder / "day1.parquet")
    fit(RunConfig.load(folder / "run.toml", {"training.lazy": True}), folder / "run")
    out = update(folder / "run", [str(folder / "day1.parquet")], tmp_path / "out")
    assert lines(out)[1]["new scenarios"] == ["feed"]
    steps = [one.tolist() for name, one in learned(out, 1).items() if name.startswith("optimizer/lazy.") and
             name.endswith(".steps")]  # fmt: skip
    assert steps
    assert all(one[0] > one[1] > 0 for one in steps)
    assert Source((out.sample("held", 1),)).rows()
