"""A transfer's stages with the run's balancer, and in several processes with the choices of the first."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from polyrec.config import DataConfig, RunConfig
from polyrec.distributed import World
from polyrec.distributed.world import within
from polyrec.objectives.objective import build
from polyrec.recipes import taught, transferring
from polyrec.recipes.assemble import assemble
from polyrec.recipes.beside import adversarial, distilled
from polyrec.recipes.endings import Ending
from polyrec.recipes.recipe import get
from polyrec.recipes.transferring import Transfer, options_of
from polyrec.testing import example_layout, random_batch
from polyrec.transfer import candidates
from polyrec.transfer.adaptation import Adapted

LAYOUT = example_layout(3)
ROWS = random_batch(LAYOUT, 60)


def run_of(**settings):
    data = DataConfig("schema.toml", log=("log.parquet",))
    return RunConfig("ecat", data, model={"dim": 4, "widths": [8], "tower_widths": []}, **settings)


@pytest.mark.parametrize("what", ["distilled", "adversarial"])
def test_what_trains_beside_a_stage_leaves_it_the_runs_balancer(what):
    run = run_of(transfer={"target": "s1"}, training={"balancer": "fixed"}, balancer={"weights": {"buy": 0.25}})
    stage = assemble(run, LAYOUT, "transfer")
    if what == "distilled":
        teacher = assemble(run, LAYOUT, "teacher")
        objective, balancer = distilled(stage, teacher, ROWS, options_of(run), 0.1)
    else:
        objective, balancer = adversarial(stage, 1, ROWS, 0.1)
    assert balancer.terms == objective.terms
    assert dict(balancer.weights) == {"click": 1.0, "buy": 0.25, objective.term: 1.0}
    terms = objective(stage.model(ROWS), ROWS)
    moving = [one for part in (stage.model, objective) for one in part.parameters()]
    balancer.backward(terms, moving, step=0)
    found = [one.grad for one in moving]
    expected = torch.autograd.grad(
        sum(balancer.weights[name] * one for name, one in objective(stage.model(ROWS), ROWS).items()),
        moving,
        allow_unused=True,
    )
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other)


class Second(World):
    """The second of two processes; the first one found `first`, one thing after the other."""

    rank, size = 1, 2

    def __init__(self, *first):
        self.first = list(first)

    def from_first(self, make):
        make()
        return self.first.pop(0)


def transfer_of(**options):
    run = run_of(transfer={"target": "s1", **options})
    portions = SimpleNamespace(judging=ROWS, stopping=None)
    return Transfer(run, portions, options_of(run))


def test_the_ending_that_the_first_process_keeps_is_kept_by_all(monkeypatch):
    mine, first = (
        (Ending("target", 0.5, gain, 0.02), Ending("settled", 0.5 + gain, 0.0, 0.0)) for gain in (0.0399, 0.0401)
    )
    monkeypatch.setattr(transferring, "endings", lambda *_: mine)
    transfer = transfer_of()
    assert transfer.endings(get("ecat"), {})[0] == "settled"
    with within(Second(first)):
        assert transfer.endings(get("ecat"), {}) == ("target", first)


def test_beta_and_alpha_are_those_of_the_first_process(monkeypatch):
    losses = {1.0: 1.0, 0.3: 0.9, 3.0: 0.8}
    tried = []

    def mine(self, assembly, results, found, beta, alpha, rows):
        tried.append(beta)
        return np.full(60, losses[beta]) + np.arange(60) * 1e-6

    monkeypatch.setattr(Transfer, "_tried", mine)
    monkeypatch.setattr(transferring, "validated", lambda rows: ROWS)
    assert transfer_of(beta=(1.0, 0.3, 3.0), alpha=0.1)._tuned(None, {}, None).beta == 3.0
    with within(Second(None, *(np.full(60, one) + np.arange(60) * 1e-6 for one in (1.0, 0.7, 0.9)))):
        assert transfer_of(beta=(1.0, 0.3, 3.0), alpha=0.1)._tuned(None, {}, None).beta == 0.3
    assert tried == [1.0, 0.3, 3.0] * 2  # a training is everybody's


def test_candidates_and_their_weights_are_those_of_the_first_process(monkeypatch):
    target = ROWS.select(torch.nonzero(ROWS.scenario == 1)[:, 0])
    monkeypatch.setattr(candidates, "relations", lambda *_: {"s0": 0.0, "s1": 1.0, "s2": 0.5})
    objective = build("pointwise", LAYOUT)
    assembly = assemble(run_of(transfer={"target": "s1"}), LAYOUT, "teacher")
    teacher = candidates.Teacher(assembly.model, objective)
    options = options_of(run_of(transfer={"target": "s1", "graph": False, "ratio": 1000.0}))
    count = int((ROWS.scenario == 0).sum())
    first = Adapted(torch.linspace(0.5, 1.5, count), 0.6, 10.0, 0.0)
    with within(Second({"s0": 0.5, "s1": 1.0, "s2": 0.0}, first)):
        found = candidates.find(lambda: [ROWS], target, target, teacher, options)
    assert set(found.source.tolist()) == {0}
    torch.testing.assert_close(found.weights, 0.5 * first.weights)
    alone = candidates.find(lambda: [ROWS], target, target, teacher, options)
    assert set(alone.source.tolist()) == {2}


@pytest.mark.parametrize(
    ("told", "spared"),
    [
        ({"spared": {"scenario": "s1", "share": 0.5}}, True),
        ({"spared": {"scenario": "s2", "share": 0.5}}, False),  # another one's target
        ({"held": {"scenario": "s1", "share": 0.25}}, False),
        ({}, False),
    ],
)
def test_a_given_teacher_that_may_have_stopped_on_what_judges_is_told_of(monkeypatch, told, spared):
    monkeypatch.setattr(taught.Manifest, "read", lambda folder: SimpleNamespace(trained_on=told))
    assert transfer_of(teacher="runs/pooled/bundle").doubtful != spared
    assert not transfer_of().doubtful
