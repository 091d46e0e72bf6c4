"""What a transfer chooses: weights on rows that stop, an ending on rows that judge, a window by time."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from polyrec.data.files import Source
from polyrec.data.where import Between, Both, Named, Not, Share, from_dict, to_dict
from polyrec.errors import ConfigError
from polyrec.recipes.beside import drawn
from polyrec.recipes.endings import Ending, kept, verdict
from polyrec.recipes.taught import _refuse_later
from polyrec.recipes.tuning import tune
from polyrec.recipes.window import last_periods, length
from polyrec.transfer.relation import gap

ROWS = np.arange(200)


def noisy(mean, seed, scale=0.5):
    return np.random.default_rng(seed).normal(mean, scale, 200)


def test_a_weight_is_left_only_for_one_that_is_visibly_better():
    common = noisy(1.0, 0)
    clear = tune([1.0, 0.3, 3.0], [0.1], lambda beta, alpha: common - 0.2 * (beta == 3.0), ROWS)
    assert (clear.beta, clear.alpha) == (3.0, 0.1)
    noise = {1.0: noisy(1.0, 1), 0.3: noisy(0.99, 2), 3.0: noisy(0.99, 3)}
    gains = {beta: gap(noise[1.0] - one, ROWS) for beta, one in noise.items()}
    found = tune(list(noise), [0.1], lambda beta, alpha: noise[beta], ROWS)
    better = {beta: gain for beta, (gain, error) in gains.items() if gain > error}
    assert found.beta == (max(better, key=better.get) if better else 1.0)


def test_alpha_is_tried_with_the_beta_that_was_chosen_and_nothing_twice():
    asked = []

    def loss(beta, alpha):
        asked.append((beta, alpha))
        return np.full(200, abs(beta - 3.0) + abs(alpha - 0.0)) + ROWS * 1e-9

    found = tune([1.0, 3.0], [0.1, 0.0, 1.0], loss, ROWS)
    assert (found.beta, found.alpha) == (3.0, 0.0)
    assert asked == [(1.0, 0.1), (3.0, 0.1), (3.0, 0.0), (3.0, 1.0)]
    assert [(one.beta, one.alpha) for one in found.tried] == asked


def test_one_value_each_costs_no_trial():
    def loss(beta, alpha):
        raise AssertionError("nothing is to be chosen")

    found = tune(["rows"], [0.0], loss, ROWS)
    assert (found.beta, found.alpha, found.tried) == ("rows", 0.0, ())


def test_the_standard_error_takes_users_as_wholes():
    values = np.repeat(np.random.default_rng(0).normal(0, 1, 50), 4)
    mean, error = gap(values, np.repeat(np.arange(50), 4))
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(values[::4].std(ddof=1) / 50**0.5)
    assert gap(values, np.arange(200))[1] < 0.6 * error


@pytest.mark.parametrize(("gain", "name"), [(0.03, "target"), (0.01, "settled"), (-0.1, "settled")])
def test_a_more_careful_ending_is_kept_where_it_is_visibly_better_and_that_is_said(gain, name):
    found = (Ending("target", 0.5 - gain, gain, 0.02), Ending("tuned", 0.6, -0.1, 0.02), Ending("settled", 0.5, 0, 0))
    assert kept(found, 1.0) == name
    words = verdict(found, name, 1_234)
    said = {0.03: "Transfer does not help: the target's rows alone", 0.01: "No harm", -0.1: "Transfer helps"}
    assert words.startswith(said[gain])
    assert "1,234" in words


def test_the_teacher_as_it_is_may_be_the_better_ending_and_is_called_careful():
    found = (Ending("teacher", 0.47, 0.03, 0.01), Ending("target", 0.48, 0.02, 0.005), Ending("settled", 0.5, 0, 0))
    assert kept(found, 2.0) == "teacher"
    assert verdict(found, "teacher", 90).startswith("Transfer does not help: the teacher as it is, the model of all")
    unsure = (Ending("teacher", 0.49, 0.01, 0.02), *found[1:])
    assert kept((unsure[0], found[-1]), 2.0) == "settled"
    assert "'teacher' has 0.4900: within what 90" in verdict((unsure[0], found[-1]), "settled", 90)


def test_a_margin_below_nothing_asks_transfer_to_prove_itself():
    found = (Ending("target", 0.505, -0.005, 0.02), Ending("settled", 0.5, 0.0, 0.0))
    assert kept(found, 0.0) == "settled"
    assert kept(found, -1.0) == "target"


def test_a_condition_and_its_opposite_part_the_rows_and_survive_json():
    table = pa.table({"tab": ["a", "b", "a", None], "user": [1, 2, 3, 4]})
    one = Both(Named("tab", ("a",)), Share(0.0, 0.5, 3, "user"))
    assert (one.mask(table, 0) ^ Not(one).mask(table, 0)).all()
    assert from_dict(to_dict(Not(one))) == Not(one)
    assert Not(one).columns == ("tab", "user")


@pytest.fixture
def hours(tmp_path):
    """A row an hour for ten days."""

    def made(times):
        path = tmp_path / "log.parquet"
        pq.write_table(pa.table({"time": times}), path, row_group_size=50)
        return Source((path,))

    return made


HOURS = np.arange(240)
MILLIS = 1_704_067_200_000 + HOURS * 3_600_000


@pytest.mark.parametrize(
    ("times", "period", "count"),
    [
        (MILLIS, "day", 24),
        (MILLIS, "hour", 1),
        (MILLIS, "week", 168),
        (MILLIS // 1000, "day", 24),
        (pa.array(MILLIS, pa.timestamp("ms")), "day", 24),
        (pa.array(MILLIS * 1000, pa.timestamp("us")), "day", 24),
        (HOURS, 24, 24),
    ],
)
@pytest.mark.parametrize("periods", [1, 2])
def test_a_window_holds_the_last_periods(hours, times, period, count, periods):
    source = hours(times)
    assert last_periods(source, "time", periods, period).rows() == min(count * periods, 240)
    half = source.filtered(Between("time", None, times[120]) if isinstance(times, np.ndarray) else Between("time"))
    assert last_periods(half, "time", periods, period).rows() <= half.rows()


def test_days_as_dates_and_what_has_no_length(hours):
    days = pa.array(np.arange(19_000, 19_010, dtype=np.int32), pa.date32())
    assert last_periods(hours(days), "time", 3, "day").rows() == 3
    with pytest.raises(ConfigError, match="whole days"):
        last_periods(hours(days), "time", 3, "hour")
    with pytest.raises(ConfigError, match=r"week.*period = 1"):
        length("day", pa.int64(), 40, "week")
    with pytest.raises(ConfigError, match="Add time"):
        last_periods(hours(days), None, 3, "day")


def test_what_trains_beside_a_model_begins_alike_whatever_was_drawn_before():
    stage = SimpleNamespace(name="dann", seed=3)
    assembly = SimpleNamespace(stage=stage, training=stage)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        expected = torch.random.get_rng_state()
        with drawn(assembly):
            found.append(torch.rand(4))
        assert torch.equal(torch.random.get_rng_state(), expected)
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("trained_on", "refused"),
    [
        ({"period": {"column": "week", "from": 1, "to": 4}}, False),
        ({"period": {"column": "week", "from": 1, "to": 5}}, True),  # a coarse time: the week is judged
        ({"period": {"column": "week", "from": 1, "to": 6}}, True),
        ({"period": {"column": "day", "from": 1, "to": 4}}, True),
        ({"rows": {"train": 9}}, True),
        ({"period": {"column": "week", "from": 1, "to": 4}, "adapted": [{"scenario": "new"}]}, True),
    ],
)
def test_a_teacher_must_say_that_it_learned_before_what_is_judged(tmp_path, trained_on, refused):
    pl.DataFrame({"week": [6, 5, 5, 7]}).write_parquet(tmp_path / "valid.parquet")
    valid = Source((tmp_path / "valid.parquet",))
    bundle = SimpleNamespace(manifest=SimpleNamespace(trained_on=trained_on))
    schema = SimpleNamespace(keys=SimpleNamespace(time="week"))
    prepared = SimpleNamespace(schema=schema, splits=SimpleNamespace(valid=valid, test=None))
    says = pytest.raises(ConfigError, match="may have seen what it would be judged on") if refused else nullcontext()
    with says:
        _refuse_later("teacher", bundle, prepared)
