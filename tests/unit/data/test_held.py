"""Rows held in memory: joined, made distinct, and dealt out scenario by scenario or in pairs of scenarios."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from polyrec.batch import NO_USER
from polyrec.data.held import ByScenario, join, one_each, where
from polyrec.data.loader import Position
from polyrec.data.pairs import Pairs, Together
from polyrec.errors import ConfigError, DataError
from polyrec.testing import example_layout, random_batch


def rows(count, seed=0, *, users=40, scenarios=3):
    batch = random_batch(example_layout(scenarios), count, seed=seed)
    return replace(batch, user=batch.user % users, item=batch.item % users)


def test_joined_batches_are_their_rows_in_order():
    whole = rows(50)
    parts = [whole.select(torch.arange(a, b)) for a, b in ((0, 7), (7, 7), (7, 50))]
    again = join(parts)
    assert torch.equal(again.ids, whole.ids)
    assert torch.equal(again.item, whole.item)
    for name, one in whole.sequences.items():
        assert torch.equal(one.values, again.sequences[name].values)
        assert torch.equal(one.offsets, again.sequences[name].offsets)
    with pytest.raises(DataError, match="0 batches"):
        join([])


@pytest.mark.parametrize("keep", ["first", "last"])
def test_one_row_is_kept_of_each_user_and_scenario_whatever_the_batches(keep):
    whole = rows(400)
    user = whole.user.clone()
    user[::9] = NO_USER
    scenario = whole.scenario.clone()
    scenario[::11] = -1
    whole = replace(whole, user=user, scenario=scenario, numerics=torch.arange(400.0)[:, None].expand(-1, 3))
    expected = {}
    for row in range(400):
        key = (int(user[row]), int(scenario[row]))
        if key[0] != NO_USER and key[1] >= 0 and (keep == "last" or key not in expected):
            expected[key] = row
    for size in (400, 60, 1):
        found = one_each(
            (whole.select(torch.arange(a, min(a + size, 400))) for a in range(0, 400, size)), "user", keep=keep
        )
        mine = {
            (int(u), int(s)): int(n) for u, s, n in zip(found.user, found.scenario, found.numerics[:, 0], strict=True)
        }
        assert mine == expected


def test_chosen_rows_are_held():
    whole = rows(30)
    found = where([whole.select(torch.arange(10)), whole.select(torch.arange(10, 30))], lambda one: one.scenario == 1)
    assert torch.equal(found.ids, whole.ids[whole.scenario == 1])


def uneven():
    batch = rows(1000)
    scenario = torch.where(torch.arange(1000) < 12, 2, (torch.arange(1000) % 5 == 0).long())
    return replace(batch, scenario=scenario, numerics=torch.arange(1000.0)[:, None].expand(-1, 3))


def test_each_batch_is_of_one_scenario_and_an_epoch_is_every_row_once():
    loader = ByScenario(uneven(), batch_size=64, seed=3)
    batches = [batch for _, batch in loader.epoch(0)]
    assert all(len(batch.scenario.unique()) == 1 for batch in batches)
    assert max(map(len, batches)) <= 64
    assert (len(batches), sum(map(len, batches))) == (loader.steps, loader.rows)
    seen = torch.cat([batch.numerics[:, 0] for batch in batches])
    assert torch.equal(seen.sort().values, torch.arange(1000.0))
    sizes = {int(batch.scenario[0]): len(batch) for batch in batches}
    assert sizes[2] == 12


def test_a_power_below_one_gives_small_scenarios_more_batches():
    even, flat = ByScenario(uneven(), batch_size=64), ByScenario(uneven(), batch_size=64, power=0.25)

    def counts(loader):
        batches = [int(batch.scenario[0]) for _, batch in loader.epoch(0)]
        assert len(batches) == loader.steps
        return np.bincount(batches, minlength=3)

    assert counts(even).tolist() == [13, 4, 1]
    assert counts(flat)[2] > 2
    assert sum(len(batch) for _, batch in flat.epoch(0)) == flat.rows


def test_an_epoch_goes_on_from_a_position_and_repeats_by_its_number():
    loader = ByScenario(uneven(), batch_size=64, seed=1, power=0.5)
    whole = [batch.numerics[:, 0].tolist() for _, batch in loader.epoch(2)]
    ends = [after for after, _ in loader.epoch(2)]
    assert [batch.numerics[:, 0].tolist() for _, batch in loader.epoch(2, ends[3])] == whole[4:]
    assert list(loader.epoch(2, ends[-1])) == []
    assert [batch.numerics[:, 0].tolist() for _, batch in loader.epoch(3)] != whole


def test_what_cannot_be_dealt_out_is_refused():
    with pytest.raises(ConfigError, match="batch_size = 0 must be at least 1"):
        ByScenario(rows(5), batch_size=0)
    with pytest.raises(DataError, match="no training row is a positive"):
        ByScenario(rows(0), batch_size=4)


def pairs(**options):
    batch = rows(600, users=60)
    return Pairs(one_each([batch], "user"), one_each([batch], "item"), batch_size=32, seed=5, **options)


def test_a_batch_has_users_and_items_of_two_scenarios_each_in_both():
    loader = pairs()
    batches = [batch for _, batch in loader.epoch(0)]
    assert len(batches) == loader.steps
    seen = set()
    for batch in batches:
        present = batch.scenario.unique().tolist()
        assert len(present) == 2
        seen.add(tuple(present))
        users, items = batch.select(torch.arange(16)), batch.select(torch.arange(16, 32))
        for part, key in ((users, users.user), (items, items.item)):
            assert torch.equal(key[:8], key[8:])
            assert len(key[:8].unique()) == 8
            assert len(part.scenario[:8].unique()) == len(part.scenario[8:].unique()) == 1
    assert len(seen) == 3


def test_pairs_repeat_by_seed_epoch_and_step():
    loader = pairs(mask_id=0.5, ids=(0, 1))
    whole = [batch.ids.tolist() for _, batch in loader.epoch(1)]
    assert [batch.ids.tolist() for _, batch in loader.epoch(1, Position(0, 4))] == whole[4:]
    assert [batch.ids.tolist() for _, batch in loader.epoch(0)] != whole


def test_ids_are_hidden_in_one_view_of_some_pairs_and_nothing_else_changes():
    plain, masked = pairs(), pairs(mask_id=0.5, ids=(0, 1))
    hidden = total = 0
    for _, batch in masked.epoch(0):
        views = batch.ids[:16, 0].view(2, 8), batch.ids[16:, 1].view(2, 8)
        for view in views:
            assert not bool((view == 0).all(0).any())
            hidden, total = hidden + int((view == 0).sum()), total + 8
        assert not bool((batch.ids[:16, 2:] == 0).all())
    assert 0.35 < hidden / total < 0.75  # some ids of the example are 0 by themselves
    assert len(plain.users.held) == len(masked.users.held)


def test_pairs_come_behind_positives_and_their_labels_are_not_observed():
    first, both = ByScenario(uneven(), batch_size=64, seed=1), pairs()
    loader = Together(first, both)
    assert (loader.steps, loader.rows) == (first.steps, first.rows)
    whole = list(loader.epoch(1))
    for (after, batch), (alone, positives) in zip(whole, first.epoch(1), strict=True):
        assert after == alone
        assert torch.equal(batch.ids[: len(positives)], positives.ids)
        assert torch.equal(batch.observed[: len(positives)], positives.observed)
        assert len(batch) == len(positives) + 32
        assert not bool(batch.observed[len(positives) :].any())
    again = list(loader.epoch(1, whole[2][0]))
    assert [one.ids.tolist() for _, one in again] == [one.ids.tolist() for _, one in whole[3:]]


def test_scenarios_without_common_users_or_items_are_refused():
    batch = rows(90)
    apart = replace(batch, user=batch.scenario * 100 + batch.user, item=batch.scenario * 100 + batch.item)
    with pytest.raises(DataError, match="no two scenarios have users or items in common"):
        Pairs(one_each([apart], "user"), one_each([apart], "item"), batch_size=16)
    with pytest.raises(ConfigError, match="batch_size = 4 must be at least 8"):
        Pairs(one_each([batch], "user"), one_each([batch], "item"), batch_size=4)
    with pytest.raises(DataError, match="rows have no item key"):
        one_each([replace(batch, item=None)], "item")
