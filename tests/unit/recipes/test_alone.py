"""One scenario on its own scores as it did among the others."""

import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.batch import Batch
from polyrec.config import RunConfig
from polyrec.errors import ConfigError
from polyrec.recipes.alone import alone, is_merged
from polyrec.recipes.fit import fit
from polyrec.testing import random_batch

SMALL = {
    "model.widths": [16],
    "model.scenario_widths": [8, 6],
    "model.task_widths": [5],
    "training.threads": 1,
    "training.epochs": 2,
    "training.lr": 0.01,
}


def trained(log, out, recipe, **settings):
    return Bundle.load(fit(RunConfig.load(log / "run.toml", {"recipe": recipe, **SMALL, **settings}), out).bundle)


def rows_of(bundle, place, other):
    batch = random_batch(bundle.encoder.layout, 300, seed=2)
    fields = {name: getattr(batch, name) for name in Batch.__dataclass_fields__}
    whole = Batch(**{**fields, "scenario": torch.full_like(batch.scenario, place)})
    mine = Batch(**{**fields, "layout": other.encoder.layout, "scenario": torch.zeros_like(batch.scenario)})
    return whole, mine


@pytest.mark.parametrize(
    ("recipe", "settings", "merges"),
    [
        ("autoifs-noselect", {}, True),
        ("autoifs-noselect", {"model.fusion": "subtract"}, True),
        ("autoifs-noselect", {"model.scenario_feature": True}, True),
        ("autoifs-noselect", {"model.fusion": "select"}, False),
        ("autoifs", {}, None),
        ("autoifs-select", {}, None),
    ],
)
def test_a_scenario_alone_scores_the_same(log, tmp_path, recipe, settings, merges):
    bundle = trained(log, tmp_path / "run", recipe, **settings)
    for place, name in enumerate(bundle.encoder.layout.scenarios):
        one = alone(bundle, name)
        assert one.encoder.layout.scenarios == (name,)
        if merges is not None:
            assert is_merged(one) is merges
        assert one.manifest.parameters < bundle.manifest.parameters
        whole, mine = rows_of(bundle, place, one)
        before, after = bundle.logits(whole), one.logits(mine)
        for target, logit in before.items():
            assert torch.allclose(after[target], logit, atol=1e-5, rtol=1e-5)


def test_a_merged_bundle_is_saved_exported_and_scores_over_the_program(log, tmp_path, polyrec):
    fit(RunConfig.load(log / "run.toml", {"recipe": "autoifs-noselect", **SMALL}), tmp_path / "run")
    ran = polyrec("export", tmp_path / "run", "--scenario", "home", "--out", tmp_path / "home")
    assert (ran.code, "adapters merged" in ran.err) == (0, True), ran.err
    both = [tmp_path / "run" / "bundle", tmp_path / "home"]
    rows = {"user_id": 3, "item_id": "item-4", "price": 2.5, "tab": "home"}
    from polyrec.serving import Scorer

    one, other = (Scorer.load(path).score([rows])[0] for path in both)
    assert other == pytest.approx(one, abs=1e-6)
    assert (tmp_path / "home" / "program.onnx").exists()


def test_a_scenario_that_is_not_there_is_refused(log, tmp_path):
    bundle = trained(log, tmp_path / "run", "autoifs-noselect", **{"training.epochs": 1})
    with pytest.raises(ConfigError, match=r"'hme'.*Did you mean 'home'"):
        alone(bundle, "hme")
