"""What a transfer tells by period: which rows are of which, and the metrics of each against a slow reference."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from polyrec.config import DataConfig, RunConfig, TransferConfig
from polyrec.data.files import Source
from polyrec.errors import ConfigError
from polyrec.evaluation.pages.transfer import transferred
from polyrec.recipes.assemble import assemble
from polyrec.recipes.over_time import accepted, judged
from polyrec.recipes.periods import NEVER, periods_of
from polyrec.recipes.prepare import prepare
from polyrec.recipes.rows import Rows
from polyrec.recipes.transferring import Transfer
from polyrec.training import Parts
from polyrec.training.run import Result
from polyrec.transfer.candidates import Teacher, find

SCHEMA = """[keys]
scenario = "tab"
user = "user"
item = "item"
time = "week"
[[features]]
name = "item"
kind = "categorical"
[[tasks]]
name = "click"
label = "click"
[[tasks]]
name = "buy"
label = "buy"
after = "click"
"""


def written(path, values):
    pl.DataFrame({"time": values}).write_parquet(path, row_group_size=7)
    return Source((path,))


@pytest.mark.parametrize(
    ("values", "period", "names"),
    [
        ([dt.date(2024, 1, 5), None, dt.date(2024, 1, 3)], "day", ("2024-01-03", "2024-01-05")),
        (
            [dt.datetime(2024, 1, 5, 23, 59), dt.datetime(2024, 1, 5, 1)],
            "hour",
            ("2024-01-05 01:00", "2024-01-05 23:00"),
        ),
        ([1_704_067_200_831, 1_704_160_000_000], "day", ("2024-01-01", "2024-01-02")),
        ([1_704_067_200.5, float("nan")], "day", ("2024-01-01",)),
        ([6, 48, 7, 6], 2, ("6", "48")),
        ([None, None], "day", ()),
    ],
)
def test_periods_have_names_that_a_person_reads_and_rows_without_a_time_have_none(tmp_path, values, period, names):
    kind = pl.Int64 if values == [None, None] else None
    source = written(tmp_path / "log.parquet", pl.Series(values, dtype=kind))
    found = periods_of(source, "time", period)
    assert found.names == names
    missing = [one is None or str(one) == "nan" for one in values]
    assert (found.place == NEVER).tolist() == missing
    assert set(found.place[found.place >= 0].tolist()) == set(range(len(names)))


def test_some_of_the_rows_are_of_the_same_periods(tmp_path):
    random = np.random.default_rng(0)
    values = random.integers(0, 50, 100)
    source, rows = written(tmp_path / "log.parquet", values), np.sort(random.choice(100, 30, replace=False))
    found = periods_of(source, "time", 5, rows)
    assert [found.names[one] for one in found.place] == [str(5 * (values[row] // 5)) for row in rows]
    assert periods_of(source, "time", 5, np.zeros(0, np.int64)).names == ()


def test_a_time_that_tells_no_period_is_refused(tmp_path):
    source = written(tmp_path / "log.parquet", np.arange(500))
    with pytest.raises(ConfigError, match="cuts the rows into 500"):
        periods_of(source, "time", 1)
    with pytest.raises(ConfigError, match="no time since 1970"):
        periods_of(source, "time", "day")
    with pytest.raises(ConfigError, match=r"Add time = \.\.\. to \[keys\]"):
        periods_of(source, None, "day")


@pytest.fixture(scope="module")
def transfer(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("weeks"), np.random.default_rng(3)
    (folder / "schema.toml").write_text(SCHEMA)
    rows = 900
    click = random.random(rows) < 0.5
    frame = pl.DataFrame(
        {
            "tab": random.choice(["big", "other", "mini"], rows),
            "user": random.integers(0, 90, rows),
            "item": random.integers(0, 30, rows),
            "week": np.sort(random.integers(0, 10, rows)),
            "click": click.astype(int),
            "buy": (click & (random.random(rows) < 0.5)).astype(int),
        }
    )
    frame = frame.with_columns(
        buy=pl.when((pl.int_range(rows) % 9 == 0) & (pl.col("click") == 1)).then(None).otherwise("buy")
    )
    frame = frame.with_columns(week=pl.when(pl.int_range(rows) == rows - 5).then(None).otherwise("week"))
    parts = {"train": frame[:500], "valid": frame[500:600], "test": frame[600:]}
    for name, part in parts.items():
        part.write_parquet(folder / f"{name}.parquet", row_group_size=64)
    data = DataConfig(str(folder / "schema.toml"), **{name: (str(folder / f"{name}.parquet"),) for name in parts})
    run = RunConfig("ecat", data, model={"dim": 2, "widths": [4], "tower_widths": []},
                    transfer={"target": "mini", "period": 2, "relation": False})  # fmt: skip
    return Transfer.of(run, prepare(data)), parts


def left(transfer, stage, seed):
    torch.manual_seed(seed)
    made = assemble(transfer.run, transfer.portions.everywhere.prepared.encoder.layout, stage)
    for one in made.model.parameters():
        torch.nn.init.normal_(one)
    return Result(Parts(made.model, made.objective, made.balancer, None, None), None)


def test_each_stage_is_judged_on_the_target_s_test_rows_of_each_period(transfer):
    transfer, parts = transfer
    results = {name: left(transfer, name, place) for place, name in enumerate(("teacher", "target"))}
    told = judged(transfer.portions.rows, results, transfer.options)
    test = parts["test"].filter(pl.col("tab") == "mini")
    weeks = sorted({2 * (one // 2) for one in test["week"].drop_nulls()})
    assert told["periods"] == [str(one) for one in weeks]
    rows = Rows(transfer.run, transfer.portions.rows.prepared)
    for name, result in results.items():
        scored = rows.collected(lambda batch, one=result: one.parts.objective.predict(one.parts.model(batch)),
                                transfer.portions.rows.prepared.splits.test)  # fmt: skip
        for target, task in ((one, one.task) for one in scored.targets if one.space == "all"):
            chance = 1 / (1 + np.exp(-scored.logits[target].astype(np.float64)))
            for place, week in enumerate(weeks):
                mine = ((test["week"] // 2 * 2 == week).fill_null(False) & test[task].is_not_null()).to_numpy()
                label = test[task].to_numpy()[mine]
                found = told["endings"][name][task]
                assert (told["rows"][task][place], told["positives"][task][place]) == (len(label), label.sum())
                assert found["auc"][place] == pytest.approx(roc_auc_score(label, chance[mine]), abs=2e-6)
                assert found["log_loss"][place] == pytest.approx(log_loss(label, chance[mine]), rel=1e-5)


def test_candidates_are_counted_and_weighed_by_period_and_scenario(transfer):
    transfer, parts = transfer
    results = {name: left(transfer, name, place) for place, name in enumerate(("teacher", "transfer"))}
    teacher = Teacher(results["teacher"].parts.model.eval(), results["teacher"].parts.objective)
    portions = transfer.portions
    found = find(portions.windowed, portions.target, portions.unseen, teacher, transfer.options)
    told = accepted(portions.window, "week", found, results, transfer.options)
    train = parts["train"].with_columns(period=pl.col("week") // 2 * 2)
    chosen = train[found.places.tolist()].with_columns(weight=pl.Series(found.weights.numpy()))
    assert len(chosen) == len(found.candidates) > 100
    better = lost(results["transfer"], found.candidates) - lost(results["teacher"], found.candidates)
    chosen = chosen.with_columns(a=pl.Series(1 / (1 + np.exp(-better))))
    for source, one in told["sources"].items():
        for place, period in enumerate(told["periods"]):
            mine = chosen.filter((pl.col("tab") == source) & (pl.col("period") == int(period)))
            assert one["rows"][place] == len(mine)
            assert one["weight"][place] == pytest.approx(mine["weight"].mean(), abs=6e-5)
            assert one["a"][place] == pytest.approx(mine["a"].mean(), abs=6e-5)
    assert sum(sum(one["rows"]) for one in told["sources"].values()) == len(chosen)
    plain = accepted(portions.window, "week", found, results, transfer.options, distils=False)
    assert plain["sources"]["big"].keys() == {"rows", "weight"}


def lost(result, rows):
    """Cross-entropy of click and of buy = click x buy given click, over all impressions where known, in float64."""
    logits = result.parts.model.eval()(rows).logits
    click, given = (1 / (1 + np.exp(-logits[name].detach().double().numpy())) for name in ("click", "buy"))
    known, labels = rows.observed.double().numpy(), rows.labels.double().numpy()
    return sum(-known[:, place] * (label * np.log(chance) + (1 - label) * np.log1p(-chance))
               for place, (label, chance) in enumerate(zip(labels.T, (click, click * given), strict=True)))  # fmt: skip


def test_a_time_that_tells_no_period_is_said_on_the_page_and_stops_nothing(transfer):
    transfer, _ = transfer
    daily = Transfer(transfer.run, transfer.portions, TransferConfig(target="mini"))
    told = daily.over_time({"teacher": left(transfer, "teacher", 0)})
    assert "period = 1" in told["undated"]
    page = transferred({"target": "mini", "rows": 5, "sources": [{"scenario": "big"}], **told}).content
    assert "Not everything is shown over time: [transfer] period" in page


def test_the_page_shows_every_stage_and_what_was_accepted(transfer):
    transfer, _ = transfer
    results = {name: left(transfer, name, place) for place, name in enumerate(("teacher", "target", "transfer"))}
    transfer.found(results)
    told = transfer.over_time(results)
    page = transferred({"target": "mini", "rows": 5, "kept": "transfer", **told}).content
    for words in ("pooled, as it is", "target only", "AUC of click over time", "What was accepted, over time"):
        assert words in page
    assert page.count("<svg") == 6  # two metrics of two tasks, weights, a(x)
