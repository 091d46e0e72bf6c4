"""A small world with users, scenarios and a funnel, and models of known quality in it."""

from dataclasses import replace

import numpy as np
import pytest

from polyrec.evaluation.collected import Collected
from polyrec.schema import Target

CLICK, BUY, BUY_GIVEN_CLICK = Target("click"), Target("buy"), Target("buy", "click")


def make_world(rows=3000, users=400, scenarios=3, seed=0, base=-0.5):
    """Rows whose logits are the true ones: perfect models."""
    random = np.random.default_rng(seed)
    user = random.integers(0, users, size=rows)
    taste = random.normal(0, 0.8, size=users)[user]
    click = random.normal(base, 1.0, size=rows) + taste
    buy = random.normal(base, 1.0, size=rows)
    clicked = random.random(rows) < 1 / (1 + np.exp(-click))
    bought = clicked & (random.random(rows) < 1 / (1 + np.exp(-buy)))
    both = np.log(1 / (np.exp(-click) + np.exp(-buy) + np.exp(-click - buy)))
    everywhere = np.ones(rows, dtype=bool)
    return Collected(
        targets=(CLICK, BUY, BUY_GIVEN_CLICK),
        scenarios=tuple(f"s{place}" for place in range(scenarios)),
        scenario=random.integers(0, scenarios, size=rows).astype(np.int32),
        user=user * 1_000_003 - 5,
        logits={target: one.astype(np.float32) for target, one in
                ((CLICK, click), (BUY, both), (BUY_GIVEN_CLICK, buy))},
        labels={CLICK: clicked, BUY: bought, BUY_GIVEN_CLICK: bought},
        inside={CLICK: everywhere, BUY: everywhere, BUY_GIVEN_CLICK: clicked},
    )  # fmt: skip


def make_noisy(collected, spread, seed=0, only=None):
    """The same rows scored by a worse model: noise on the logits, in one scenario only where it is given."""
    random = np.random.default_rng(seed)
    logits = {}
    for target, one in collected.logits.items():
        noise = random.normal(0, spread, size=len(one))
        if only is not None:
            noise[collected.scenario != only] = 0
        logits[target] = (one + noise).astype(np.float32)
    return replace(collected, logits=logits)


@pytest.fixture(scope="session")
def world():
    return make_world


@pytest.fixture(scope="session")
def noisy():
    return make_noisy
