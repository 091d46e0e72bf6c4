"""Every recipe becomes an ONNX program that scores as its model does."""

from pathlib import Path

import onnx
import pytest
import torch

from polyrec import models, recipes
from polyrec.artifact import Bundle
from polyrec.artifact import export as exporting
from polyrec.artifact.export import export, random_batch
from polyrec.artifact.program import Program
from polyrec.batch import Batch
from polyrec.errors import BundleError

PLAIN = {"user": 3, "item": "i2", "brand": "b1", "price": 3.5, "age": 30, "history": ["i1"], "image": [0.1, 0.2, 0.3]}


def different() -> list[str]:
    """One recipe for each network and prediction: what is trained otherwise is the same program."""
    found = {}
    for name in recipes.names():
        one = recipes.get(name)
        found.setdefault((one.model, one.objective, repr(one.model_options), repr(one.objective_options)), name)
    return list(found.values())


def first() -> list[object]:
    """Of each model the first recipe; those that predict otherwise with it are long tests."""
    seen: set[str] = set()
    found: list[object] = []
    for name in different():
        model = recipes.get(name).model
        found.append(pytest.param(name, marks=pytest.mark.long) if model in seen else name)
        seen.add(model)
    return found


def apart(program: Program, bundle: Bundle, batch: Batch) -> float:
    expected, found = bundle.probabilities(batch), program.probabilities(batch)
    assert list(found) == list(expected)
    gaps = [(found[target] - expected[target]).abs() for target in expected]
    return float(torch.stack(gaps).max()) if len(batch) else 0.0


def test_every_registered_model_is_in_a_recipe_that_is_exported() -> None:
    assert {recipes.get(name).model for name in different()} == set(models.names())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", first())
def test_the_program_scores_as_the_model(recipe: str, make, tmp_path: Path) -> None:
    source = make(recipe)
    export(source, tmp_path / "out")
    bundle, program = Bundle.load(tmp_path / "out"), Program.load(tmp_path / "out")
    layout = bundle.encoder.layout
    for rows in (0, 1, 2, 7, 200):
        for empty in (False, True):
            batch = random_batch(layout, rows, seed=rows, unknown=0.2, empty=empty)
            assert apart(program, bundle, batch) <= 1e-5
    odd = [
        {**PLAIN, "tab": "s1"},
        {"tab": "never declared", **PLAIN},
        {"tab": "s0"},
        {**PLAIN, "tab": "s2", "user": 10**9, "item": "unseen", "history": [], "price": None},
        {**PLAIN, "tab": "s2", "history": [f"i{one}" for one in range(12)], "price": float("nan"), "age": -(10**6)},
    ]
    assert apart(program, bundle, bundle.encoder.encode_rows(odd)) <= 1e-5
    assert apart(program, bundle, bundle.encoder.encode_rows([])) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["star", pytest.param("single", marks=pytest.mark.long)])
def test_a_row_of_one_scenario_costs_the_program_the_same_beside_many(recipe: str, make, tmp_path: Path) -> None:
    """Of 40 scenarios each is scored in runs of few scenarios, and alike in any company."""
    export(make(recipe, 40), tmp_path / "out")
    bundle, program = Bundle.load(tmp_path / "out"), Program.load(tmp_path / "out")
    batch = random_batch(bundle.encoder.layout, 500, seed=5, unknown=0.1)
    assert apart(program, bundle, batch) <= 1e-5
    runs = list(program._runs(batch.scenario.numpy()))
    assert sorted(torch.cat([torch.from_numpy(one) for one in runs]).tolist()) == list(range(500))
    for rows in runs:
        held = len(set(batch.scenario[torch.from_numpy(rows)].tolist()))
        assert held == 1 or held * len(rows) <= 64


@pytest.mark.slow
def test_a_program_that_scores_otherwise_is_not_kept(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = exporting.write_program

    def wrong(bundle: Bundle, path: Path) -> None:
        whole(bundle, path)
        graph = onnx.load(path)
        for node in graph.graph.node:
            if node.op_type == "Sigmoid":
                node.op_type = "HardSigmoid"
        onnx.save(graph, path)

    monkeypatch.setattr(exporting, "write_program", wrong)
    with pytest.raises(BundleError, match="golden rows score"):
        export(make("pooled"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
