import sys

import pytest

from polyrec.bench.space import read_space
from polyrec.bench.tune import tune
from polyrec.config import RunConfig
from polyrec.errors import ConfigError, NotReadyError
from polyrec.recipes.folder import RunFolder

SPACE = read_space({"training.lr": [0.1, 0.2]}, "[space]")


def test_the_folder_of_a_run_is_not_written_over(log, tmp_path):
    left = tmp_path / "fit" / "run.toml"
    left.parent.mkdir()
    left.write_text("of a fit")
    with pytest.raises(ConfigError, match=r"holds run\.toml, which is not of `polyrec tune`"):
        tune(RunConfig.load(log / "run.toml"), SPACE, left.parent, trials=1)
    assert left.read_text() == "of a fit"


def test_two_searches_do_not_share_a_folder(log, tmp_path, monkeypatch):
    monkeypatch.setattr("polyrec.bench.tune.PATIENCE", 0.1)
    out = tmp_path / "out"
    with RunFolder(out).held(), pytest.raises(ConfigError, match="another process is training in it"):
        tune(RunConfig.load(log / "run.toml"), SPACE, out, trials=1)
    assert not list(out.iterdir())


def test_a_sampler_that_is_not_installed_is_told_before_anything_is_trained(log, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(NotReadyError, match="--sampler random"):
        tune(RunConfig.load(log / "run.toml"), SPACE, tmp_path / "out", trials=2, sampler="tpe")
    assert not (tmp_path / "out").exists()
