import numpy as np
import pytest

from polyrec.errors import ConfigError
from polyrec.transfer.graph import reach


def by_definition(users, items, target):
    """score(j) = sum over target items i, users u in N(i) and N(j), one pair at a time."""
    edges = set(zip(users.tolist(), items.tolist(), strict=True))
    of_user, of_item = {}, {}
    for user, item in edges:
        of_user.setdefault(user, set()).add(item)
        of_item.setdefault(item, set()).add(user)
    scores = {}
    for j, near in of_item.items():
        scores[j] = sum(
            len(of_user[u]) ** -0.5 * (len(of_item[i]) * len(near)) ** -0.5
            for i in target
            if i in of_item
            for u in of_item[i] & near
        )
    return scores, of_user


@pytest.fixture
def graph():
    random = np.random.default_rng(0)
    return random.integers(-40, 40, 900), random.zipf(1.4, 900) % 60


@pytest.mark.parametrize("parts", [1, 4])
def test_scores_are_those_of_the_definition(graph, parts):
    users, items = graph
    target = np.array([1, 7, 999])  # the last one nobody interacted with
    blocks = [(users[at : at + 100], items[at : at + 100]) for at in range(0, 900, 100)]
    found = reach(blocks, target, parts=parts)
    scores, of_user = by_definition(users, items, set(target.tolist()))
    for item, score in zip(found.items.tolist(), found.scores.tolist(), strict=True):
        assert score == pytest.approx(scores.get(item, 0.0), abs=1e-12)
    assert found.own == 3
    assert set(found.items[:3].tolist()) == {1, 7, 999}
    others = found.scores[3:]
    assert (np.diff(others) <= 0).all()
    assert found.users.tolist() == sorted(of_user)
    for kept in (1, 3, 8, len(found.items)):
        near = set(found.items[:kept].tolist())
        reached = {user for user, touched in of_user.items() if touched & near}
        assert set(found.users[found.first < kept].tolist()) == reached
        assert found.reached(kept) == len(reached)
        asked = np.append(users, [-99, users[0]]), np.append(items, [items[0], -1])  # nobody's, nothing
        passes = [user in reached and item in near for user, item in zip(*map(np.ndarray.tolist, asked), strict=True)]
        assert (found.need(*asked) <= kept).tolist() == passes
    assert found.need(np.array([-99]), items[:1]).tolist() == [len(found.items) + 1]


def test_rows_need_a_kept_item_and_a_reached_user():
    users, items = np.array([1, 1, 2, 3]), np.array([7, 8, 8, 9])
    found = reach([(users, items)], np.array([7]))
    assert (found.need(np.array([1, 1, 2]), np.array([7, 8, 7])) <= found.own).tolist() == [True, False, False]


def test_no_interaction_at_all_leaves_the_targets_items():
    found = reach([], np.array([4, 4, 2]))
    assert (found.items.tolist(), found.own, found.users.tolist()) == ([2, 4], 2, [])
    assert found.need(np.array([1]), np.array([4])).tolist() == [3]


def test_no_part_is_refused():
    with pytest.raises(ConfigError, match="parts = 0"):
        reach([], np.array([1]), parts=0)
