"""What is told to stand behind a score is what made it."""

import shutil
from types import SimpleNamespace

import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.artifact.explain import explain
from polyrec.artifact.export import export
from polyrec.errors import NotReadyError
from polyrec.serving.model import Model, Sources

ROW = {"tab": "s1", "user": 3, "history": ["i1", "i2"], "age": 40, "item": "i4", "brand": "b2", "price": 3.5}


def test_shares_of_experts_make_the_very_score(make):
    bundle = Bundle.load(make("mmoe"))
    batch = bundle.encoder.encode_rows([ROW])
    found = explain(bundle, batch)
    model = bundle.model
    assert [one.head for one in found.mixtures] == list(model.heads)
    with torch.no_grad():
        experts = model.experts(model.inputs(batch))[0]  # [E, H]
        output = model(batch)
        for place, one in enumerate(found.mixtures):
            assert sum(one.shares) == pytest.approx(1.0, abs=1e-6)
            mixed = torch.tensor(one.shares) @ experts
            assert torch.allclose(output.hidden[one.head][0], mixed, atol=1e-5)
            tower = model.towers.network
            every = mixed.expand(len(model.heads), 1, -1)
            assert torch.allclose(tower(every)[place, 0, 0], output.logits[one.head][0], atol=1e-4)


@pytest.mark.parametrize("recipe", ["ple", "aem2tl"])
def test_mixtures_of_other_models_sum_to_one(make, recipe):
    bundle = Bundle.load(make(recipe))
    found = explain(bundle, bundle.encoder.encode_rows([ROW]))
    assert found.mixtures
    for one in found.mixtures:
        assert sum(one.shares) == pytest.approx(1.0, abs=1e-5)


def test_factors_of_personalised_gates_are_told(make):
    bundle = Bundle.load(make("pepnet"))
    found = explain(bundle, bundle.encoder.encode_rows([ROW]))
    assert found.factors
    assert not found.mixtures
    for one in found.factors:
        assert 0.0 <= one.low <= one.mean <= one.high <= 2.0


def test_flows_are_those_of_the_rows_gates(make):
    bundle = Bundle.load(make("autoifs"))
    batch = bundle.encoder.encode_rows([ROW])
    found = explain(bundle, batch)
    assert len(found.flows) == 4 * len(bundle.model.heads)
    pruned = bundle.model(batch).hidden["prune/click"][0] > 0.5
    assert [not one.kept for one in found.flows if one.head == "click"] == pruned.tolist()


def test_a_row_of_unknown_scenario_gets_the_mean(make):
    bundle = Bundle.load(make("mmoe", towers="cell"))
    unknown = explain(bundle, bundle.encoder.encode_rows([{**ROW, "tab": "elsewhere"}]))
    assert sum(unknown.mixtures[0].shares) == pytest.approx(1.0, abs=1e-5)
    assert len(unknown.mixtures) == len(bundle.model.heads)


def test_explaining_leaves_no_hook_behind_and_changes_no_score(make):
    bundle = Bundle.load(make("mmoe"))
    batch = bundle.encoder.encode_rows([ROW])
    before = bundle.probabilities(batch)
    explain(bundle, batch)
    assert not any(module._forward_hooks for module in bundle.model.modules())
    for target, score in bundle.probabilities(batch).items():
        assert torch.equal(score, before[target])


def test_over_http_with_the_scores_of_score(shared_server):
    scored = shared_server.ask("/score", {"rows": [ROW]}).json["scores"][0]
    found = shared_server.ask("/explain", {"row": ROW})
    assert found.status == 200
    assert found.json["probabilities"] == pytest.approx(scored, abs=1e-6)
    assert {one["head"] for one in found.json["mixtures"]} >= {"click", "cart"}


def test_an_item_of_the_catalogue_brings_its_features(bundle, serve):
    server = serve(bundle, sources=Sources(items=(bundle.parent / "log-3.parquet",)))
    user = {"user": 3, "age": 40}
    best = server.ask("/recommend", {"user": user, "scenario": "s1", "k": 1}).json["items"][0]
    found = server.ask("/explain", {"row": {**user, "tab": "s1"}, "item": best["item"]})
    assert found.json["probabilities"] == pytest.approx(best["probabilities"], abs=1e-6)
    refused = server.ask("/explain", {"row": {**user, "tab": "s1"}, "item": "never heard of"})
    assert refused.status == 422
    assert "not in the catalogue" in refused.json["error"]


def test_a_model_without_gates_says_so(make, serve):
    refused = serve(make("pooled")).ask("/explain", {"row": ROW})
    assert refused.status == 409
    assert "no gates" in refused.json["error"]


def test_more_than_one_row_is_refused(make):
    bundle = Bundle.load(make("mmoe"))
    with pytest.raises(ValueError, match="2 rows"):
        explain(bundle, bundle.encoder.encode_rows([ROW, ROW]))


def test_gates_of_another_bundle_in_the_same_folder_are_not_told(make, tmp_path):
    folder = tmp_path / "served"
    export(make("mmoe"), folder)
    served, body = Model.load(folder), SimpleNamespace(row=ROW, item=None)
    assert not isinstance(served.scorer.bundle, Bundle)
    other = make("pepnet")
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    with pytest.raises(NotReadyError, match=r"holds pepnet.* now and mmoe.* is served.*Reload the bundle"):
        served.explain(body)
