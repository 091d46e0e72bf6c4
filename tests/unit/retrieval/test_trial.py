"""What is asked, of whom, against which pool; and that the numbers are those of a count by hand."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from polyrec.batch import NO_USER
from polyrec.errors import DataError
from polyrec.retrieval import Hits
from polyrec.retrieval.trial import Trial, macro, towers
from polyrec.testing import example_layout, random_batch

LAYOUT = example_layout(2)


def rows(table):
    """(user, item, scenario, click) by row; click None: not observed."""
    batch = random_batch(LAYOUT, len(table))
    user, item, scenario, click = (list(column) for column in zip(*table, strict=True))
    labels, observed = batch.labels.clone(), batch.observed.clone()
    labels[:, 0] = torch.tensor([float(one or 0) for one in click])
    observed[:, 0] = torch.tensor([one is not None for one in click])
    return replace(
        batch,
        user=torch.tensor(user),
        item=torch.tensor(item),
        scenario=torch.tensor(scenario),
        labels=labels,
        observed=observed,
    )


def clicked(batch):
    return batch.observed[:, 0] & (batch.labels[:, 0] > 0.5)


SEEN = rows([(1, 10, 0, 1), (1, 11, 0, 0), (2, 12, 0, 1), (3, 13, 1, 1), (1, 20, 1, 0)])
JUDGED = rows(
    [
        (1, 10, 0, 1),
        (1, 12, 0, 1),
        (1, 12, 0, 1),  # twice: one relevant item
        (1, 13, 0, 0),
        (2, 10, 0, None),  # not observed: no positive
        (3, 11, 0, 1),
        (NO_USER, 10, 0, 1),  # of nobody
        (3, 20, 1, 1),
        (4, 14, -1, 1),  # a scenario never declared
    ]
)


def trial(**options):
    return Trial(
        lambda: [SEEN], lambda: [JUDGED.select(torch.arange(4)), JUDGED.select(torch.arange(4, 9))], clicked, **options
    )


def asked(one):
    """{user: relevant items}, {user: excluded items}, pool; by item key."""
    items = one.items.item.tolist()

    def by_user(jagged):
        bounds = jagged.offsets.tolist()
        lists = [jagged.values[a:b].tolist() for a, b in pairwise(bounds)]
        return {u: sorted(items[p] for p in row) for u, row in zip(one.users.user.tolist(), lists, strict=True)}

    return by_user(one.relevant), None if one.exclude is None else by_user(one.exclude), sorted(items)


def test_the_pool_is_what_occurs_in_the_scenario_and_only_users_with_a_positive_are_asked_for():
    found = trial().questions
    assert asked(found["s0"]) == ({1: [10, 12], 3: [11]}, None, [10, 11, 12, 13])
    assert asked(found["s1"]) == ({3: [20]}, None, [13, 20])


def test_seen_items_are_excluded_as_declared_and_are_not_relevant_then():
    assert asked(trial(exclude="positives").questions["s0"])[:2] == ({1: [12], 3: [11]}, {1: [10], 3: []})
    assert asked(trial(exclude="shown").questions["s0"])[:2] == ({1: [12], 3: [11]}, {1: [10, 11], 3: []})
    alone = Trial(lambda: [SEEN, rows([(3, 20, 1, 1)])], lambda: [JUDGED], clicked, exclude="positives")
    assert len(alone.questions["s1"].users) == 0  # the only relevant item was seen


def test_a_users_features_are_those_of_his_first_judged_row():
    one = trial().questions["s0"]
    first = JUDGED.select(torch.tensor([0, 5]))
    assert torch.equal(one.users.ids, first.ids)
    assert torch.equal(one.users.numerics, first.numerics)


def test_metrics_are_those_of_a_count_by_hand():
    # both users get 13, 12, 11 in this order: user 1 (10, 12) finds one of two at rank 2, user 3 (11) his one at rank 3
    def search(one):
        items = one.items.item.tolist()
        wanted = [item for item in (13, 12, 11, 10) if item in items]
        return Hits(
            torch.tensor([[items.index(item) for item in wanted]] * len(one.users)),
            torch.zeros(len(one.users), len(wanted)),
        )

    found = trial(ks=[2, 3]).judge(search)
    home = found["s0"]
    assert (home.n, home.positives) == (2, 3)
    assert home.estimates["recall@2"].value == pytest.approx((0.5 + 0) / 2)
    assert home.estimates["recall@3"].value == pytest.approx((0.5 + 1) / 2)
    assert home.estimates["mrr@3"].value == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert home.estimates["coverage@3"].value == 0.75
    assert found["s1"].estimates["hit@3"].value == 0.0
    assert found["s1"].estimates["hit@3"].note == "the pool has 2 items; no interval: one user"
    mean = macro(found)["recall@3"]
    assert mean.value == pytest.approx((0.75 + 0.0) / 2)
    assert mean.note == "mean of 2 of 2 scenarios; no interval: a scenario has none"


def test_a_scenario_without_users_is_undefined_with_a_reason():
    only = Trial(lambda: [SEEN], lambda: [JUDGED.select(torch.arange(4))], clicked)
    found = only.judge(
        lambda one: Hits(torch.zeros(len(one.users), 1, dtype=torch.int64), torch.zeros(len(one.users), 1))
    )
    estimate = found["s1"].estimates["recall@20"]
    assert (estimate.value, estimate.note) == (None, "no user has a relevant item")
    assert macro(found)["recall@20"].note.startswith("mean of 1 of 2 scenarios")


def test_a_model_is_judged_by_its_own_vectors_blocked_or_whole(monkeypatch):
    from polyrec import models
    from polyrec.retrieval import trial as module

    torch.manual_seed(0)
    model = models.build("sass", LAYOUT, ("click",), {"widths": [8], "vector": 4}).eval()
    big = random_batch(LAYOUT, 300, seed=3)
    big = replace(big, user=big.user % 20, item=big.item % 30)
    one = Trial(lambda: [], lambda: [big], clicked, ks=[5])

    def search(question):
        with torch.no_grad():
            users, items = model.user(question.users), model.item(question.items)
        order = (users @ items.T).argsort(1, descending=True)
        return Hits(order[:, :5], torch.zeros(len(order), 5))

    expected = one.judge(search)
    monkeypatch.setattr(module, "BLOCK", 7)
    found = one.run(model)
    for name, cell in expected.items():
        for metric, estimate in cell.estimates.items():
            assert found[name].estimates[metric].value == pytest.approx(estimate.value), metric
    assert np.isfinite(expected["s0"].estimates["recall@5"].value)


def test_rows_without_keys_and_models_without_towers_are_refused():
    with pytest.raises(DataError, match=r"rows have no item key\. Set \[keys\] item"):
        Trial(lambda: [replace(SEEN, item=None)], lambda: [], clicked)
    with pytest.raises(DataError, match=r"a Linear has no user and item vectors.*twotower-mixed"):
        towers(torch.nn.Linear(1, 1))
