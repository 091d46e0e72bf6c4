"""Worlds as `simulate` writes them: what the log shows agrees with what the truth says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from polyrec.data.simulate import PRESETS, Paths, describe, simulate
from polyrec.schema import Schema

ROWS = 60_000
World = Callable[[str], pl.DataFrame]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Paths]:
    kept: dict[str, Paths] = {}

    def make(name: str) -> Paths:
        if name not in kept:
            kept[name] = simulate(tmp_path_factory.mktemp("world") / name, rows=ROWS, days=7, preset=name)
        return kept[name]

    return make


@pytest.fixture(scope="module")
def world(made: Callable[[str], Paths]) -> World:
    """Log and truth side by side; the truth's outcomes are called true_click and so on."""

    def read(name: str) -> pl.DataFrame:
        log, truth = pl.read_parquet(made(name).log), pl.read_parquet(made(name).truth)
        truth = truth.rename({label: f"true_{label}" for label in ("click", "action", "buy")})
        return pl.concat([log, truth], how="horizontal")

    return read


CALIBRATED = [
    # a probability, the outcome it is of, the rows it speaks of
    ("p_click", "click", None),
    ("p_action", "action", None),
    ("p_action_given_click", "action", pl.col("true_click") == 1),
    ("p_buy", "buy", None),
    ("p_buy_given_click", "buy", pl.col("true_click") == 1),
    ("p_buy_given_click_action", "buy", pl.col("true_action") == 1),
    ("p_buy_given_click_no_action", "buy", (pl.col("true_click") == 1) & (pl.col("true_action") == 0)),
    ("p_buy_given_no_click", "buy", pl.col("true_click") == 0),
    ("p_buy_do_click", "buy_if_clicked", None),
    ("p_buy_do_click_given_no_click", "buy_if_clicked", pl.col("true_click") == 0),
    ("p_click_with_noise", "click", None),
    ("p_buy_with_noise", "buy", None),
    ("p_buy_do_click_with_noise", "buy_if_clicked", None),
]


@pytest.mark.parametrize("name", PRESETS)
def test_every_probability_agrees_with_its_outcome_in_every_tenth_of_rows(name: str, world: World) -> None:
    rows = world(name)
    for column, label, where in CALIBRATED:
        part = (rows if where is None else rows.filter(where)).drop_nulls(label).sort(column)
        if part[label].sum() == 0:
            assert part[column].max() < 1e-9
            continue
        chance, outcome = part[column].to_numpy().astype(float), part[label].to_numpy()
        for tenth in np.array_split(np.arange(len(part)), 10):
            expected, spread = chance[tenth].sum(), np.sqrt((chance[tenth] * (1 - chance[tenth])).sum())
            assert abs(outcome[tenth].sum() - expected) < 4.5 * spread, (column, expected, outcome[tenth].sum())


@pytest.mark.parametrize("name", PRESETS)
def test_the_funnel_holds_as_the_schema_says(name: str, made: Callable[[str], Paths], world: World) -> None:
    rows, schema = world(name), Schema.load(made(name).schema)
    assert rows.filter((pl.col("action") == 1) & (pl.col("click") == 0)).is_empty()
    direct = rows.filter((pl.col("buy") == 1) & (pl.col("click") == 0))
    buy = schema.task("buy")
    assert (buy.after, buy.via) == ("click", "action")
    assert direct.is_empty() == buy.strict
    assert set(schema.columns) <= set(rows.columns)


@pytest.mark.parametrize("name", PRESETS)
def test_probabilities_of_a_row_agree_with_each_other(name: str, world: World) -> None:
    rows = world(name)
    column = {key: rows[key].to_numpy().astype(float) for key in rows.columns if key.startswith("p_")}
    click, action = column["p_click"], column["p_action_given_click"]
    clicked = action * column["p_buy_given_click_action"] + (1 - action) * column["p_buy_given_click_no_action"]
    whole = click * column["p_buy_given_click"] + (1 - click) * column["p_buy_given_no_click"]
    forced = click * column["p_buy_given_click"] + (1 - click) * column["p_buy_do_click_given_no_click"]
    np.testing.assert_allclose(click * action, column["p_action"], rtol=1e-5)
    np.testing.assert_allclose(clicked, column["p_buy_given_click"], rtol=1e-5)
    np.testing.assert_allclose(whole, column["p_buy"], rtol=1e-5)
    np.testing.assert_allclose(forced, column["p_buy_do_click"], rtol=1e-5)


def test_a_clicked_row_buys_as_it_would_have_if_clicked(world: World) -> None:
    clicked = world("selection").filter(pl.col("true_click") == 1)
    assert (clicked["true_buy"] == clicked["buy_if_clicked"]).all()


def test_in_selection_clicks_tell_too_much_about_buys_of_those_who_do_not_click(world: World) -> None:
    rows = world("selection")
    unclicked = rows.filter(pl.col("click") == 0)
    observed = rows.filter(pl.col("click") == 1)["buy"].mean()
    forced = unclicked["p_buy_do_click_given_no_click"].mean()
    assert observed / forced > 1.3  # what a mean over clicks says
    assert unclicked["p_buy_given_click"].mean() / forced > 1.3  # what a perfect model of clicks says
    plain = world("balanced").filter(pl.col("click") == 0)
    assert plain["p_buy_given_click"].mean() / plain["p_buy_do_click_given_no_click"].mean() < 1.1


def test_in_noclick_most_buys_have_no_click(world: World) -> None:
    buys = world("noclick").filter(pl.col("buy") == 1)
    assert (buys["click"] == 0).mean() > 0.5


def test_starved_runs_from_two_thirds_of_the_rows_down_to_a_fifth_of_a_percent(world: World) -> None:
    count = world("starved").group_by("scenario").len().sort("scenario")["len"] / ROWS
    assert count[0] == pytest.approx(0.69, abs=0.01)
    assert count[5] == pytest.approx(0.002, abs=0.0006)
    assert count.is_sorted(descending=True)


def test_scenarios_have_some_users_and_items_in_common_and_some_apart(world: World) -> None:
    rows = world("balanced")
    for key in ("user_id", "item_id"):
        first, last = (set(rows.filter(pl.col("scenario") == name)[key]) for name in ("s0", "s4"))
        assert first & last
        assert first - last
        assert last - first


RELATIONS = {
    "balanced": lambda s, t: "helps",
    "starved": lambda s, t: "helps" if s % 2 == t % 2 else "indifferent",
    "conflict": lambda s, t: "helps" if (s == 0) == (t == 0) else "conflicts",
}


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("name", RELATIONS)
def test_relations_are_planted_as_documented(name: str, seed: int, tmp_path: Path) -> None:
    simulate(tmp_path / "world", rows=2000, days=2, preset=name, seed=seed)
    told = describe(tmp_path / "world")
    found = [[told["relations"][one][other] for other in told["scenarios"]] for one in told["scenarios"]]
    count = range(len(found))
    assert found == [[RELATIONS[name](s, t) for t in count] for s in count]
    truth, log = (pl.read_parquet(tmp_path / "world" / file) for file in ("truth.parquet", "log.parquet"))
    value = {"helps": 1, "indifferent": 0, "conflicts": -1}
    for other in told["scenarios"]:
        expected = [value[told["relations"][one][other]] for one in log["scenario"]]
        assert truth[f"relation_{other}"].to_list() == expected


def test_rows_are_strictly_in_the_order_of_time(world: World) -> None:
    rows = world("drift")
    assert (rows["time_ms"].diff().drop_nulls() > 0).all()
    assert rows["day"].to_list() == ((rows["time_ms"] - 1_704_067_200_000) // 86_400_000).to_list()
    assert rows["hour"].to_list() == (rows["time_ms"] // 3_600_000 % 24).to_list()


def test_a_history_holds_the_last_recorded_clicks_before_the_row(world: World) -> None:
    rows = world("starved")
    busiest = rows["user_id"].value_counts().sort("count", descending=True)["user_id"][:20]
    longest = 0
    for user in busiest:
        past: list[int] = []
        for seen, item, click in rows.filter(pl.col("user_id") == user).select("hist_items", "item_id", "click").rows():
            assert seen == past[-20:]
            past += [item] if click == 1 else []
        longest = max(longest, len(past))
    assert longest > 5


def test_new_users_and_items_arrive_in_drift(world: World) -> None:
    rows = world("drift")
    for key in ("user_id", "item_id"):
        early = set(rows.filter(pl.col("day") <= 2)[key])
        late = set(rows.filter(pl.col("day") == 6)[key])
        assert len(late - early) > 0.1 * len(late)


def test_unlabelled_rows_have_no_label_at_all(world: World) -> None:
    rows = world("starved")
    null = rows.select(pl.col("click", "action", "buy").is_null())
    assert null["click"].mean() == pytest.approx(0.1, abs=0.01)
    assert (null["click"] == null["buy"]).all()
    assert (null["click"] == null["action"]).all()
    assert rows["true_click"].null_count() == 0


def test_a_tenth_of_rows_is_shown_evenly(world: World) -> None:
    assert world("balanced")["explored"].mean() == pytest.approx(0.1, abs=0.01)


def test_row_groups_are_even_and_the_truth_has_one_row_a_row(made: Callable[[str], Paths]) -> None:
    log, truth = pq.ParquetFile(made("balanced").log), pq.ParquetFile(made("balanced").truth)
    assert log.metadata.num_rows == truth.metadata.num_rows == ROWS
    assert log.metadata.num_row_groups == 1
