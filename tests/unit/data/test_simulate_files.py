"""`simulate` as a command: it repeats, it is whole or not there, and it says what is wrong."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from polyrec.data.simulate import Rows, World, describe, files, judge, simulate, world_of
from polyrec.data.simulate.generate import generate
from polyrec.data.simulate.presets import named
from polyrec.data.simulate.truth import COLUMNS
from polyrec.errors import ConfigError, DataError


def _read(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    return pl.read_parquet(folder / "log.parquet"), pl.read_parquet(folder / "truth.parquet")


@pytest.mark.parametrize("name", ["selection", "starved"])
def test_equal_arguments_give_equal_rows_whatever_the_block(name: str, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    simulate(whole, rows=20_000, days=3, preset=name, seed=5)
    simulate(parts, rows=20_000, days=3, preset=name, seed=5, block=997)
    for one, other in zip(_read(whole), _read(parts), strict=True):
        assert one.equals(other)
    assert (whole / "schema.toml").read_text() == (parts / "schema.toml").read_text()


def test_files_are_equal_byte_by_byte_when_run_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        simulate(tmp_path / name, rows=5000, days=2)
    for file in ("log.parquet", "truth.parquet", "schema.toml"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_another_seed_is_another_world(tmp_path: Path) -> None:
    for seed in (0, 1):
        simulate(tmp_path / str(seed), rows=5000, days=2, seed=seed)
    one, two = (_read(tmp_path / str(seed))[0] for seed in (0, 1))
    assert (one["user_id"] == two["user_id"]).mean() < 0.01
    assert (one["click"] == two["click"]).mean() < 0.95


def test_more_rows_are_more_evidence_of_the_same_world(tmp_path: Path) -> None:
    for rows in (3000, 6000):
        simulate(tmp_path / str(rows), rows=rows, days=2)
    few, many = (
        _read(tmp_path / rows)[0].select("item_id", "item_category", "item_price").unique() for rows in ("3000", "6000")
    )
    both = few.join(many, on="item_id")
    assert len(both) > 100
    assert (both["item_category"] == both["item_category_right"]).all()
    assert (both["item_price"] == both["item_price_right"]).all()


@pytest.mark.slow
def test_memory_does_not_grow_with_rows() -> None:
    peaks = []
    for rows in (100_000, 400_000):
        # Few users: their histories are full before the shorter log ends.
        world = World(replace(named("balanced"), users=200), scenarios=5, days=2, seed=0)
        tracemalloc.start()
        for _ in generate(world, rows, 16_384):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.05 * peaks[0]


def test_row_groups_do_not_follow_days_or_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROW_GROUP", 1000)
    simulate(tmp_path / "world", rows=4500, days=4, block=700)
    found = pq.ParquetFile(tmp_path / "world" / "truth.parquet").metadata
    assert [found.row_group(place).num_rows for place in range(found.num_row_groups)] == [1000] * 4 + [500]


def test_progress_counts_every_row(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    simulate(tmp_path / "world", rows=1000, days=3, block=200, progress=lambda *one: seen.append(one))
    assert seen == sorted(seen)
    assert seen[-1] == ("simulating rows", 1000, 1000)


def test_any_number_of_scenarios_can_be_asked_for(tmp_path: Path) -> None:
    simulate(tmp_path / "one", rows=500, days=1, scenarios=1)
    simulate(tmp_path / "many", rows=5000, days=2, scenarios=40, preset="starved")
    assert describe(tmp_path / "one")["relations"] == {"s0": {"s0": "helps"}}
    log, truth = _read(tmp_path / "many")
    assert log["scenario"].n_unique() > 20
    assert not any(column.startswith("relation_") for column in truth.columns)  # the description has them


def test_the_description_rebuilds_the_world_and_its_probabilities(tmp_path: Path) -> None:
    simulate(tmp_path / "world", rows=2000, days=4, preset="noclick", scenarios=4, seed=3)
    world = world_of(tmp_path / "world")
    log, truth = _read(tmp_path / "world")
    last = (log["day"] == 3).to_numpy()
    rows = _rows(log.filter(last))
    again = world.truth(rows)
    for name in COLUMNS:
        np.testing.assert_allclose(again[name], truth[name].to_numpy()[last], rtol=1e-5)


def test_a_row_in_another_scenario_answers_as_its_relation_says(tmp_path: Path) -> None:
    simulate(tmp_path / "world", rows=4000, days=1, preset="conflict")
    world, log = world_of(tmp_path / "world"), _read(tmp_path / "world")[0]
    rows = _rows(log)
    in_scenario = {
        place: world.logits(Rows(**{**_fields(rows), "scenario": np.full(len(log), place)}))[0] for place in (0, 1, 2)
    }
    assert np.corrcoef(in_scenario[1], in_scenario[2])[0, 1] > 0.5
    assert np.corrcoef(in_scenario[0], in_scenario[2])[0, 1] < -0.3


def _rows(log: pl.DataFrame) -> Rows:
    scenario = log["scenario"].str.slice(1).cast(pl.Int64).to_numpy()
    device = log["device"].replace_strict({"phone": 0, "tablet": 1, "desktop": 2}).to_numpy()
    column: dict[str, Any] = {
        name: log[name].cast(pl.Int64).to_numpy() for name in ("time_ms", "user_id", "item_id", "position")
    }
    return Rows(
        index=np.arange(len(log)),
        day=int(log["day"][0]),
        time=column["time_ms"],
        scenario=scenario,
        user=column["user_id"],
        item=column["item_id"],
        position=column["position"],
        device=device,
        intent=log["intent"].to_numpy().astype(float),
    )


def _fields(rows: Rows) -> dict[str, Any]:
    return {name: getattr(rows, name) for name in Rows.__dataclass_fields__}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "selecton"}, "preset 'selecton' is not known.*Did you mean 'selection'"),
        ({"rows": 3}, "rows = 3: at least one a day, 14"),
        ({"rows": 50_000_000, "days": 1}, "rows = 50000000: at most 20000000 a day"),
        ({"days": 0}, "days = 0: from 1 to 3650"),
        ({"scenarios": 0}, "scenarios = 0: this preset takes 1 to 1000"),
        ({"scenarios": 1, "preset": "conflict"}, "scenarios = 1: this preset takes 2 to 1000"),
        ({"block": 0}, "block = 0: at least 1 row"),
    ],
)
def test_a_number_out_of_bounds_is_refused_and_nothing_is_left(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(tmp_path / "world", **change)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "log.parquet").write_text("mine")
    with pytest.raises(DataError, match=r"is not an empty folder\. Name another one, or empty it"):
        simulate(tmp_path, rows=100)
    assert (tmp_path / "log.parquet").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    out = tmp_path / "empty"
    out.mkdir()
    made = simulate(out, rows=100, days=2)
    assert all(path.exists() for path in (made.log, made.schema, made.truth))
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_run_that_breaks_leaves_nothing(
    fault: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*parts: object) -> None:
        raise fault

    monkeypatch.setattr(files, "_write_both", broken)
    with pytest.raises((DataError, KeyboardInterrupt)) as caught:
        simulate(tmp_path / "world", rows=1000, days=2)
    if isinstance(fault, OSError):
        assert "No space left on device. Free space, or name another folder" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_no_world_is_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read.*polyrec simulate"):
        describe(tmp_path)
    pl.DataFrame({"p_click": [0.5]}).write_parquet(tmp_path / "truth.parquet")
    with pytest.raises(DataError, match="describes no world"):
        describe(tmp_path)


def test_a_name_under_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        simulate(tmp_path / "file" / "world", rows=100)


@pytest.mark.parametrize(("preset", "lost"), [("balanced", (0.0, 0.02)), ("drift", (0.2, 0.35))])
def test_what_was_true_on_the_first_day_is_worthless_on_the_last_in_drift_alone(
    preset: str, lost: tuple[float, float], tmp_path: Path
) -> None:
    simulate(tmp_path / "world", rows=40_000, days=4, preset=preset)
    world, log = world_of(tmp_path / "world"), _read(tmp_path / "world")[0]
    rows = _rows(log.filter(pl.col("day") == 3))
    fresh, stale = (world.truth(Rows(**{**_fields(rows), "day": day}))["p_click"] for day in (3, 0))
    fall = judge(fresh, fresh).auc - judge(stale, fresh).auc
    assert lost[0] < fall < lost[1]
