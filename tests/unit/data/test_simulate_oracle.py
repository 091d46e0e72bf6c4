"""The oracle: best scores by cell, judging against the truth, and the share of the possible gain."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from polyrec.data.simulate import Best, best_scores, judge, share_of_gain, simulate
from polyrec.errors import DataError

ROWS = 40_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("oracle") / "world"
    simulate(out, rows=ROWS, days=4, preset="starved")
    return out


def _cell(found: tuple[Best, ...], scenario: str, task: str, space: str = "all") -> Best:
    return next(one for one in found if (one.scenario, one.task, one.space) == (scenario, task, space))


@pytest.mark.parametrize("scenario", ["*", "s0", "s1"])
@pytest.mark.parametrize(("task", "space"), [("click", "all"), ("buy", "all"), ("buy", "click"), ("action", "click")])
def test_best_scores_equal_those_of_scikit_learn(folder: Path, scenario: str, task: str, space: str) -> None:
    start = 25_000
    rows = pl.concat(
        [
            pl.read_parquet(folder / "log.parquet").select("scenario", "click", "action", "buy"),
            pl.read_parquet(folder / "truth.parquet").select(pl.selectors.starts_with("p_")),
        ],
        how="horizontal",
    )[start:].drop_nulls("click")
    rows = rows if scenario == "*" else rows.filter(pl.col("scenario") == scenario)
    rows = rows if space == "all" else rows.filter(pl.col("click") == 1)
    label = rows[task].to_numpy()
    chance = rows[f"p_{task}" if space == "all" else f"p_{task}_given_{space}"].to_numpy().astype(float)
    best = _cell(best_scores(folder, slice(start, None)), scenario, task, space)
    assert (best.n, best.positives) == (len(rows), label.sum())
    assert best.auc == pytest.approx(roc_auc_score(label, chance), abs=2e-4)
    assert best.log_loss == pytest.approx(log_loss(label, chance), abs=1e-6)
    assert best.constant == pytest.approx(log_loss(label, np.full(len(label), label.mean())), abs=1e-6)
    both = np.concatenate([np.ones(len(label)), np.zeros(len(label))])
    weight = np.concatenate([chance, 1 - chance])
    expected = roc_auc_score(both, np.tile(chance, 2), sample_weight=weight)
    assert best.expected_auc == pytest.approx(expected, abs=2e-4)


def test_the_oracle_ranks_above_any_single_feature_and_above_the_mean_of_ids(folder: Path) -> None:
    log, truth = pl.read_parquet(folder / "log.parquet"), pl.read_parquet(folder / "truth.parquet")
    best = _cell(best_scores(folder), "*", "click")
    seen = log["click"].is_not_null().to_numpy()
    label = log["click"].to_numpy()[seen]
    for name in ("intent", "user_taste_1", "user_taste_2", "user_taste_3", "item_price", "position", "item_quality"):
        score = roc_auc_score(label, log[name].fill_null(0).to_numpy()[seen])
        assert best.auc > max(score, 1 - score) + 0.1
    for name in ("user_id", "item_id", "item_brand", "user_segment"):  # the true rates of ids, better than any estimate
        rate = truth.with_columns(log[name]).select(pl.col("p_click").mean().over(name))["p_click"].to_numpy()[seen]
        assert best.auc > roc_auc_score(label, rate) + 0.02


def test_an_empty_cell_and_one_with_one_class_are_undefined_not_nan(folder: Path) -> None:
    found = best_scores(folder, slice(0, 3))
    nothing = _cell(found, "s5", "click")
    assert (nothing.n, nothing.auc, nothing.log_loss, nothing.constant) == (0, None, None, None)
    one = [best for best in found if best.n and best.positives in (0, best.n)]
    assert one
    assert all(best.auc is None and best.log_loss is not None for best in one)


def test_rows_by_a_step_and_a_folder_without_a_world_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="only every row of a range can be judged"):
        best_scores(folder, slice(None, None, 2))
    (tmp_path / "schema.toml").write_text((folder / "schema.toml").read_text())
    with pytest.raises(DataError, match=r"is no simulated world.*polyrec simulate"):
        best_scores(tmp_path)


def test_judging_equals_a_hand_worked_example() -> None:
    # Truth .5 and .25, predicted .5 and .5: a tie, so AUC 1/2; cross entropy is log 2 on both rows.
    said = judge(np.array([0.5, 0.5]), np.array([0.5, 0.25]))
    assert said.auc == 0.5
    assert said.log_loss == pytest.approx(np.log(2))
    assert said.least == pytest.approx((np.log(2) + 0.25 * np.log(4) + 0.75 * np.log(4 / 3)) / 2)
    assert said.pcoc == pytest.approx(4 / 3)
    # In order: positives .5 and .25, negatives .5 and .75; pairs won (.5 x .75) + half of the rows' own.
    assert judge(np.array([0.5, 0.2]), np.array([0.5, 0.25])).auc == pytest.approx(
        (0.5 * 0.75 + 0.5 * (0.5 * 0.5 + 0.25 * 0.75)) / (0.75 * 1.25)
    )


def test_judging_agrees_with_sampled_outcomes() -> None:
    random = np.random.default_rng(0)
    true = random.beta(1, 5, 200_000)
    predicted = np.clip(true * random.lognormal(0, 0.5, len(true)), 1e-3, 1 - 1e-3)
    said, outcome = judge(predicted, true), random.random(len(true)) < true
    assert said.auc == pytest.approx(roc_auc_score(outcome, predicted), abs=0.005)
    assert said.log_loss == pytest.approx(log_loss(outcome, predicted), abs=0.005)
    assert said.least < said.log_loss


def test_a_sure_prediction_is_judged_only_where_the_truth_is_as_sure() -> None:
    assert judge(np.array([0.0, 1.0]), np.array([0.0, 1.0])).log_loss == 0
    with pytest.raises(DataError, match=r"prediction 0.0 in row 1: must lie within \(0, 1\)"):
        judge(np.array([0.5, 0.0]), np.array([0.5, 0.1]))
    with pytest.raises(DataError, match="2 predictions for 1 rows"):
        judge(np.array([0.5, 0.5]), np.array([0.5]))
    assert judge(np.array([0.1]), np.array([0.0])).pcoc is None


def test_the_share_of_gain_is_one_for_the_oracle_and_negative_below_a_constant() -> None:
    assert share_of_gain(0.3, constant=0.4, oracle=0.3) == 1
    assert share_of_gain(0.45, constant=0.4, oracle=0.3) == pytest.approx(-0.5)
