import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrec.bench.space import DEFAULT, Choice, Range, applied, check, read_space
from polyrec.config import DataConfig, RunConfig
from polyrec.errors import ConfigError

RUN = RunConfig("mmoe", DataConfig("schema.toml", log=("log.parquet",)), training={"lr": 0.01}, model={"dim": 8})


@given(st.floats(1e-6, 1e3), st.floats(1.001, 1e4), st.booleans(), st.integers(0, 2**31))
def test_a_number_is_drawn_from_its_range_to_four_digits(low, ratio, log, seed):
    one = Range(low, low * ratio, log=log)
    value = one.draw(np.random.default_rng(seed))
    assert one.low * (1 - 1e-3) <= value <= one.high * (1 + 1e-3)
    assert float(f"{value:.4g}") == value


def test_a_logarithmic_range_is_even_in_its_logarithm():
    rng, one = np.random.default_rng(0), Range(1e-4, 1.0, log=True)
    share = np.mean([one.draw(rng) < 1e-2 for _ in range(2000)])
    assert abs(share - 0.5) < 5 * np.sqrt(0.25 / 2000)


def test_whole_numbers_are_integers():
    assert isinstance(Range(1, 8, whole=True).draw(np.random.default_rng(1)), int)


def test_settings_go_over_the_run_and_leave_the_rest():
    run = applied(RUN, {"training.lr": 0.003, "objective.task_weights": {"buy": 2.0}})
    assert (run.training, run.model, run.objective) == ({"lr": 0.003}, {"dim": 8}, {"task_weights": {"buy": 2.0}})
    assert RUN.training == {"lr": 0.01}


def test_the_default_space_can_be_read():
    assert isinstance(read_space(DEFAULT, "default")["training.batch_size"], Choice)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lr": [1, 2]}, "names no option"),
        ({"training.seed": [1, 2]}, "not to be tuned"),
        ({"data.log": ["a"]}, "not to be tuned"),
        ({"training.lr": 0.1}, "is no range"),
        ({"training.lr": []}, "is no range"),
        ({"training.lr": {"low": 2.0, "high": 1.0}}, "is not below"),
        ({"training.lr": {"low": 0.0, "high": 1.0, "log": True}}, "has no logarithm"),
        ({"training.lr": {"low": 0.1, "hihg": 1.0}}, "Did you mean 'high'"),
    ],
)
def test_what_is_no_range_is_refused_with_a_remedy(values, words):
    with pytest.raises(ConfigError, match=words):
        read_space(values, "[space]")


def test_everything_that_is_no_range_is_told_at_once():
    values = {"lr": [1], "training.seed": [1, 2], "training.lr": {"low": 2.0, "high": 1.0}, "model.dim": [8]}
    with pytest.raises(ConfigError, match="3 problems") as found:
        read_space(values, "[space]")
    for words in ("'lr' names no option", "'training.seed' is not to be tuned", "is not below high"):
        assert str(found.value).count(words) == 1


def test_options_and_values_that_the_run_does_not_take_are_all_told():
    check(RUN, read_space({**DEFAULT, "model.experts": {"low": 2, "high": 8, "whole": True}}, "[space]"))
    space = {"training.lrr": [0.1], "training.lr": [0.1, "abc"], "model.dimm": [4, 8], "trainin.lr": [0.1]}
    with pytest.raises(ConfigError) as found:
        check(RUN, read_space(space, "[space]"))
    for words in ("Did you mean 'lr'", "training.lr = 'abc'", "Did you mean 'dim'", "'trainin' is no table"):
        assert words in str(found.value)
