"""run.toml: paths relative to the file, settings over it, unknown options refused."""

from pathlib import Path

import pytest

from polyrec.config import DataConfig, RunConfig, Split, TrainingConfig, read_setting
from polyrec.declare import parse, to_toml
from polyrec.errors import ConfigError
from polyrec.recipes.assemble import resolve

RUN = """
recipe = "mmoe"
[data]
schema = "schema.toml"
log = ["logs/*.parquet"]
split = { by = "time", valid_from = 39, test_from = 41 }
[training]
epochs = 2
"""


def test_paths_are_relative_to_the_file_and_settings_win(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(RUN)
    run = RunConfig.load(path, dict([read_setting("training.epochs=5"), read_setting("model.dim=8")]))
    assert run.data.log == (str(tmp_path / "logs/*.parquet"),)
    assert run.data.split == Split(by="time", valid_from=39, test_from=41)
    assert run.training == {"epochs": 5}
    assert run.model == {"dim": 8}
    again = tmp_path / "again.toml"
    again.write_text(to_toml(run.to_dict()))
    assert RunConfig.load(again) == run


def test_a_model_without_layers_is_written_as_it_is(tmp_path: Path) -> None:
    run = resolve(RunConfig("mmoe", DataConfig("s.toml", log=("log.parquet",)), model={"tower_widths": []}))
    path = tmp_path / "run.toml"
    path.write_text(to_toml(run.to_dict()))
    again = RunConfig.load(path)
    assert again.model["tower_widths"] == []
    assert resolve(again).model == run.model


def test_every_wrong_option_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(TrainingConfig, {"epoch": 2, "lr": -1, "batch_size": "many"}, "[training]")
    text = str(caught.value)
    assert "option 'epoch' is not known" in text
    assert "Did you mean 'epochs'?" in text
    assert "lr = -1" in text
    assert "batch_size = 'many'" in text


@pytest.mark.parametrize("name", ["lr", "table_lr", "weight_decay", "clip", "checkpoint_minutes"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} = {value}: .*finite number"):
        parse(TrainingConfig, {name: value}, "[training]")


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"schema": "s"}, "needs either log"),
        ({"schema": "s", "log": ["a"], "train": ["b"]}, "needs either log"),
        ({"schema": "s", "train": ["b"]}, "must not look at test rows"),
        ({"schema": "s", "train": ["b"], "valid": ["c"], "split": {"by": "random"}}, "split already"),
        ({"schema": "s", "log": ["a"], "split": {"valid": 0.6, "test": 0.5}}, "nothing is left to train on"),
        ({"schema": "s", "log": ["a"], "split": {"valid_from": 3}}, "go together"),
        ({"schema": "s", "log": ["a"], "split": {"by": "user", "valid_from": 3, "test_from": 4}}, "not 'user'"),
    ],
)
def test_contradictory_data_options_are_refused(values: dict[str, object], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        parse(DataConfig, values, "run.toml [data]")


def test_a_setting_without_an_equals_sign_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Write it as a\.b=value"):
        read_setting("training.lr")
    assert read_setting("data.log=a b") == ("data.log", "a b")


def test_what_each_table_of_a_run_file_refuses_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("""
recipe = 3
stages = 4
[data]
train = ["a"]
shuffle_rows = 0
split = { valid = 0.6, test = 0.6, valid_from = 3, by = "user" }
""")
    with pytest.raises(ConfigError) as caught:
        RunConfig.load(path)
    text = str(caught.value)
    for part in ("recipe = 3", "stages = 4", "data.shuffle_rows = 0", "valid_from and test_from go together",
                 "valid_from is for by = 'time', not 'user'", "data.schema is missing"):  # fmt: skip
        assert part in text, (part, text)
    assert len(text.splitlines()) == 7


def test_what_a_table_refuses_as_a_whole_is_all_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(DataConfig, {"schema": "s", "train": ["a"], "split": {}}, "[data]")
    assert "[data] has 2 problems" in str(caught.value)
    with pytest.raises(ConfigError, match=r"^2 problems:\n  - .*valid = ") as caught:
        DataConfig("s", train=("a",), split=Split())
