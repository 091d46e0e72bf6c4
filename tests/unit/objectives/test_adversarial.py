import math

import pytest
import torch

from polyrec.batch import Output
from polyrec.errors import ConfigError
from polyrec.objectives.adversarial import ADVERSARY, Adversarial
from polyrec.objectives.objective import build
from polyrec.testing import example_layout, random_batch

LAYOUT = example_layout()


def answer(base, batch):
    random = torch.Generator().manual_seed(0)
    logits = {head: torch.randn(len(batch), generator=random) for head in base.heads}
    return Output(logits, {"bottom": torch.randn(len(batch), 5, generator=random, requires_grad=True)})


@pytest.fixture
def made():
    torch.manual_seed(0)
    return Adversarial(build("pointwise", LAYOUT), 1, ("bottom", 5), strength=0.4)


def by_hand(made, output, batch):
    sides = {True: [], False: []}
    for row in range(len(batch)):
        logit = made.judge(output.hidden["bottom"][row]).double().item()
        mine = int(batch.scenario[row]) == 1
        sides[mine].append(math.log1p(math.exp(-logit if mine else logit)))
    return 0.4 / 2 * sum(sum(one) / len(one) for one in sides.values() if one)


def test_both_sides_weigh_the_same(made):
    batch = random_batch(LAYOUT, 40, seed=1)
    output = answer(made.base, batch)
    terms = made(output, batch)
    assert tuple(terms) == made.terms
    assert terms[ADVERSARY].item() == pytest.approx(by_hand(made, output, batch), rel=1e-5)
    alone = batch.select(torch.nonzero(batch.scenario != 1)[:, 0])
    output = answer(made.base, alone)
    assert made(output, alone)[ADVERSARY].item() == pytest.approx(by_hand(made, output, alone), rel=1e-5)


def test_the_classifier_learns_and_the_hidden_state_thwarts_it(made):
    batch = random_batch(LAYOUT, 40, seed=1)
    output = answer(made.base, batch)
    before = made(output, batch)[ADVERSARY]
    before.backward()
    with torch.no_grad():
        moved = Output(output.logits, {"bottom": output.hidden["bottom"] - 0.1 * output.hidden["bottom"].grad})
        assert made(moved, batch)[ADVERSARY] > before  # a step down its gradient makes the classifier worse
        for one in made.judge.parameters():
            one.sub_(0.1 * one.grad)
        assert made(output, batch)[ADVERSARY] < before


def test_a_model_without_that_hidden_state_is_refused(made):
    batch = random_batch(LAYOUT, 4, seed=1)
    output = answer(made.base, batch)
    with pytest.raises(ConfigError, match=r"no hidden state 'bottom'\. Known: other"):
        made(Output(output.logits, {"other": output.hidden["bottom"]}), batch)


def test_the_base_is_served(made):
    assert made.served is made.base
    assert made.start is made.base.start
