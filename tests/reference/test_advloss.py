"""Liu et al. 2017: shared and private networks, the adversary's loss and the overlap, by plain sums."""

import numpy as np
import pytest
import torch

OPTIONS = {"widths": (12, 7), "tower_widths": (5,), "adversary": 0.3, "difference": 0.2, "tables": "dense"}


def states(paper, state, batch, row, place):
    """Shared and private state of a row under scenario `place`."""
    x = paper.x_row(state, batch, row, scenario=False)
    return paper.torch_mlp(state, "shared", x), paper.mlp(state, "own", x, lambda one: one[place, 0])


def adversary(paper, state, batch):
    """The mean of -log softmax(g D + d) at the row's scenario, over rows of known scenario, times its weight."""
    losses = []
    for row, place in enumerate(batch.scenario.tolist()):
        if place >= 0:
            shared, _ = states(paper, state, batch, row, place)
            guess = shared @ state["adversary.weight"][0] + state["adversary.bias"][0]
            losses.append(-np.log(paper.softmax(guess)[place]))
    return 0.3 * np.mean(losses)


@pytest.fixture
def found(paper):
    return paper.case("advloss", **OPTIONS)


def test_advloss_reads_the_private_and_the_shared_state(paper, found):
    def logit(row, head):
        logits = []
        for place in paper.scenarios_of(found.batch, row):
            shared, own = states(paper, found.state, found.batch, row, place)
            both = np.concatenate([own, shared])
            pick = lambda one, place=place: one[place, head]  # noqa: E731
            logits.append(paper.mlp(found.state, "towers.network", both, pick, linear_end=True)[0])
        return np.mean(logits)

    paper.agree(found, logit)
    assert found.output.penalties == {}  # when scoring


def test_the_penalties_are_the_adversarys_loss_and_the_overlap(paper, found):
    penalties = found.model.train()(found.batch).penalties
    assert list(penalties) == ["adversary", "difference"]
    assert penalties["adversary"].item() == pytest.approx(adversary(paper, found.state, found.batch), rel=1e-9)
    scenarios = found.batch.scenario.tolist()
    known, overlap = sum(place >= 0 for place in scenarios), 0.0
    for scenario in range(paper.scenarios):
        rows = [row for row, place in enumerate(scenarios) if place == scenario]
        both = [states(paper, found.state, found.batch, row, scenario) for row in rows]
        product = sum(np.outer(shared, own) for shared, own in both) / len(rows)
        overlap += len(rows) / known * (product**2).sum()
    assert penalties["difference"].item() == pytest.approx(0.2 * overlap, rel=1e-9)


def test_the_adversary_learns_to_name_the_scenario_and_the_shared_network_to_hide_it(paper, found):
    found.model.train()(found.batch).penalties["adversary"].backward()
    gradients = {name: one.grad.numpy() for name, one in found.model.named_parameters() if one.grad is not None}
    for name, sign in (("adversary.weight", 1), ("adversary.bias", 1), ("shared.layers.2.weight", -1)):
        place = np.unravel_index(np.abs(gradients[name]).argmax(), gradients[name].shape)
        slope = []
        for step in (1e-5, -1e-5):
            moved = {**found.state, name: found.state[name].copy()}
            moved[name][place] += step
            slope.append(adversary(paper, moved, found.batch))
        expected = sign * (slope[0] - slope[1]) / 2e-5
        assert abs(expected) > 1e-4
        assert gradients[name][place] == pytest.approx(expected, rel=1e-5)


def test_rows_of_unknown_scenario_alone_have_penalties_of_zero(found):
    batch = found.batch.select(torch.nonzero(found.batch.scenario < 0)[:, 0])
    assert len(batch)
    penalties = found.model.train()(batch).penalties
    assert {name: one.item() for name, one in penalties.items()} == {"adversary": 0.0, "difference": 0.0}


def test_a_weight_of_zero_leaves_a_penalty_out(paper):
    without = paper.case("advloss", **{**OPTIONS, "adversary": 0.0, "difference": 0.0})
    assert without.model.train()(without.batch).penalties == {}
    assert not any(name.startswith("adversary") for name in without.state)
