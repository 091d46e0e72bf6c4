"""Which rows pass to the target: as many as are asked for, of users that the graph reaches."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from polyrec.config import TransferConfig
from polyrec.testing import example_layout, random_batch
from polyrec.transfer.passing import passing, picked

TARGET = 2


@pytest.fixture
def rows():
    """Rows of many users, of whom few are near the target's items."""
    random = np.random.default_rng(0)
    batch = random_batch(example_layout(3), 4_000, seed=1)
    user, item = (torch.from_numpy(random.integers(0, high, 4_000)) for high in (2_000, 300))
    scenario = torch.from_numpy(random.choice(3, 4_000, p=[0.6, 0.39, 0.01]))
    return replace(batch, user=user, item=item, scenario=scenario)


def test_so_many_items_are_kept_that_enough_rows_of_reached_users_pass(rows):
    target = rows.select(torch.nonzero(rows.scenario == TARGET)[:, 0])
    allowed = torch.tensor([True, False, False])
    parts = [rows.select(torch.arange(at, at + 500)) for at in range(0, 4_000, 500)]
    found = passing(lambda: parts, target, allowed, TransferConfig(target="s2", ratio=10.0))
    enough = 10 * len(target)
    assert found.kept > found.graph.own
    around = [replace(found, kept=kept) for kept in (found.kept - 1, found.kept)]
    counts = [sum(int(one.candidates(part).sum()) for part in parts) for one in around]
    assert counts[0] < enough <= counts[1]
    drawn = picked(lambda: parts, found, enough, seed=0)
    reached, chosen = drawn.passed, drawn.rows
    again = rows.select(torch.from_numpy(drawn.places))
    assert torch.equal(again.user, chosen.user)
    assert torch.equal(again.item, chosen.item)
    assert reached[0] == counts[1]
    assert reached[TARGET] == 0
    assert set(chosen.scenario.tolist()) == {0}
    assert 0.8 * enough < len(chosen) <= counts[1]


def test_where_no_number_of_items_gives_enough_all_are_kept(rows):
    target = rows.select(torch.nonzero(rows.scenario == TARGET)[:, 0])
    found = passing(lambda: [rows], target, torch.tensor([True, True, False]), TransferConfig(target="s2", ratio=1e6))
    assert found.kept == len(found.graph.items)
