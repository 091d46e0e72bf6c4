"""The parts of a simulated world: draws, tastes, quadrature, histories, policy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.data.simulate import PRESETS, World
from polyrec.data.simulate.draws import Draws
from polyrec.data.simulate.history import LENGTH, History
from polyrec.data.simulate.policy import Policy
from polyrec.data.simulate.presets import HEADS, Parts, named
from polyrec.data.simulate.taste import compose
from polyrec.data.simulate.truth import COLUMNS, answers, probabilities, sigmoid
from polyrec.data.simulate.world import sizes
from polyrec.errors import ConfigError


def test_draws_are_uniform_and_normal_and_streams_independent() -> None:
    draws, index = Draws(3), np.arange(200_000)
    uniform, normal = draws.uniform("one", index), draws.normal("one", index)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    counts = np.bincount((uniform * 100).astype(int), minlength=100)
    assert ((counts - 2000) ** 2 / 2000).sum() < 160  # chi-squared, 99 degrees: p < 1e-4 beyond
    assert abs(normal.mean()) < 0.01
    assert normal.std() == pytest.approx(1, abs=0.01)
    assert (normal**4).mean() == pytest.approx(3, abs=0.1)
    for other in (draws.uniform("two", index), Draws(4).uniform("one", index), np.roll(uniform, 1)):
        assert abs(np.corrcoef(uniform, other)[0, 1]) < 0.01


def test_parts_of_a_preference_must_add_up_to_one() -> None:
    with pytest.raises(ConfigError, match=r"add up to 1\.1; they are shares of 1"):
        Parts(shared=0.6, task=0.2, group=0.1, own=0.1, cell=0.1)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_says_what_it_is_for(name: str) -> None:
    assert PRESETS[name].__doc__
    assert len(PRESETS[name].__doc__) > 100
    assert named(name).strict == (name not in ("selection", "noclick"))


@pytest.mark.parametrize("scenarios", [3, 6, 40])
def test_preferences_keep_their_length_and_their_relations_while_they_turn(scenarios: int) -> None:
    preset = named("drift")
    taste = compose(preset, scenarios, Draws(0))
    start, end = taste.weights(0.0), taste.weights(1.0)
    np.testing.assert_allclose(np.linalg.norm(start, axis=-1), np.linalg.norm(end, axis=-1))
    signal = np.array(preset.signal.values)
    np.testing.assert_allclose(np.linalg.norm(start, axis=-1) / signal, 1.0, atol=0.15)
    np.testing.assert_allclose(np.einsum("shw,shw->sh", start, end), 0.0, atol=0.01)  # 1.57 is a right angle
    middle = taste.weights(0.4)
    np.testing.assert_allclose(
        np.einsum("shw,thw->sth", middle, middle), np.einsum("shw,thw->sth", start, start), atol=1e-9
    )
    off = taste.likeness().mean(-1)[~np.eye(scenarios, dtype=bool)]
    assert off.min() > 0.55
    assert off.max() < 0.95


def test_flows_are_useless_where_planted_and_there_alone() -> None:
    scenarios = 6
    taste = compose(named("flows"), scenarios, Draws(0))
    useful = {flow: share > 0 for flow, share in taste.useful.items()}
    assert useful["shared,shared"].all()
    assert useful["scenario,shared"].any(1).tolist() == [True, True, False, True, True, False]
    assert useful["shared,task"].any(0).tolist() == [True, False, True]
    assert useful["scenario,task"].tolist() == [[(s + t) % 2 == 0 for t in range(3)] for s in range(scenarios)]
    np.testing.assert_allclose(sum(taste.useful.values()), 1.0)
    # Action in s2 carries the shared flow alone: every cell has exactly the shared flow's part along it.
    along = np.einsum("shw,w->sh", taste.now, taste.now[2, 1]) / 1.4**2
    np.testing.assert_allclose(along[:, :3], np.sqrt(taste.useful["shared,shared"]), atol=1e-12)


def test_in_flows_nothing_but_preferences_differs_by_scenario() -> None:
    world = World(named("flows"), scenarios=5, days=3, seed=0)
    assert (world.base == world.base[:1]).all()
    assert (world.device_effect == world.device_effect[:, :1]).all()
    assert (world.peak_hour == world.peak_hour[0]).all()


@pytest.mark.parametrize(("count", "smallest"), [(1, None), (2, 0.1), (6, 0.002), (300, 0.002), (1000, 0.002)])
def test_sizes_fall_to_the_smallest(count: int, smallest: float | None) -> None:
    share = sizes(count, smallest=smallest)
    assert share.sum() == pytest.approx(1)
    assert (np.diff(share) <= 1e-12).all()
    if smallest is not None:
        assert share[-1] == pytest.approx(min(smallest, 1 / count))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-6, 6), min_size=4, max_size=4),
    st.lists(st.floats(0, 1.7), min_size=4, max_size=4),
    st.booleans(),
)
def test_quadrature_equals_a_fine_sum_over_the_noise(logits: list[float], load: list[float], strict: bool) -> None:
    grid = np.linspace(-9, 9, 4001)
    weight = np.exp(-(grid**2) / 2)
    weight /= weight.sum()
    columns = [np.full(len(grid), value) for value in logits]
    c, a, d1, d0, n = answers(columns, [one * grid for one in load], 1.5, strict=strict)
    bought = a * d1 + (1 - a) * d0
    expected = {
        "p_click": c @ weight,
        "p_action": (c * a) @ weight,
        "p_buy": (c * bought + (1 - c) * n) @ weight,
        "p_buy_given_click": (c * bought) @ weight / (c @ weight),
        "p_buy_given_click_action": (c * a * d1) @ weight / ((c * a) @ weight),
        "p_buy_given_no_click": ((1 - c) * n) @ weight / ((1 - c) @ weight),
        "p_buy_do_click": bought @ weight,
        "p_buy_do_click_given_no_click": ((1 - c) * bought) @ weight / ((1 - c) @ weight),
    }
    found = probabilities([np.array([value]) for value in logits], np.array(load), 1.5, strict=strict)
    assert set(found) == set(COLUMNS)
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, rel=2e-4, abs=1e-9), name


def test_without_unseen_noise_clicking_tells_nothing_more() -> None:
    logits = [np.linspace(-2, 2, 50) for _ in HEADS]
    found = probabilities(logits, np.zeros(4), 1.0, strict=False)
    np.testing.assert_allclose(found["p_buy_given_click"], found["p_buy_do_click"])
    np.testing.assert_allclose(found["p_click"], sigmoid(logits[0]))


def test_unseen_noise_makes_clickers_the_better_buyers() -> None:
    logits = [np.full(1, -1.0) for _ in HEADS]
    found = probabilities(logits, np.array([1.0, 0.0, 1.0, 0.0]), 1.0, strict=True)
    assert found["p_buy_given_click"] > found["p_buy_do_click"] > found["p_buy_do_click_given_no_click"]
    assert found["p_buy_given_no_click"] == 0


def test_a_sigmoid_of_minus_infinity_is_zero() -> None:
    assert sigmoid(np.array([-np.inf, 0.0, 800.0])).tolist() == pytest.approx([0.0, 0.5, 1.0])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.lists(st.integers(0, 70), min_size=1, max_size=5))
def test_histories_equal_those_kept_row_by_row(seed: int, users: int, blocks: list[int]) -> None:
    random, history = np.random.default_rng(seed), History(users)
    past: list[list[int]] = [[] for _ in range(users)]
    for size in blocks:
        user, item = random.integers(users, size=size), random.integers(1000, size=size)
        clicked = random.random(size) < 0.6
        values, offsets = history.pass_by(user, item, clicked)
        assert len(offsets) == size + 1
        assert offsets[-1] == len(values)
        for row in range(size):
            assert values[offsets[row] : offsets[row + 1]].tolist() == past[user[row]][-LENGTH:]
            if clicked[row]:
                past[user[row]].append(int(item[row]))


@pytest.fixture
def taught() -> tuple[Policy, Policy]:
    """A policy that saw only clicks on one category's items, and one that saw the same without a click."""
    world = World(named("balanced"), scenarios=5, days=3, seed=0)
    policies = Policy(world), Policy(world)
    for policy, like in zip(policies, (True, False), strict=True):
        policy.start(0)
        index = np.arange(100_000)
        scenario, user = np.zeros_like(index), index % 500
        item, _ = policy.items(index, scenario, user)
        policy.learn(scenario, user, item, (world.goods.category[item] == 3) & like)
    return policies


def _share_of_category(policy: Policy, user: int) -> float:
    index = np.arange(200_000, 240_000)
    item, _ = policy.items(index, np.zeros_like(index), np.full_like(index, user))
    return float((policy.world.goods.category[item] == 3).mean())


def test_the_policy_shows_more_of_what_was_clicked_from_the_next_day_on(taught: tuple[Policy, Policy]) -> None:
    liked, ignored = taught
    assert _share_of_category(liked, 0) == _share_of_category(ignored, 0)  # today's clicks change nothing today
    for policy in taught:
        policy.start(1)
    by_popularity = _share_of_category(liked, 4_000), _share_of_category(ignored, 4_000)
    by_affinity = _share_of_category(liked, 0)
    assert by_popularity[0] > 1.5 * by_popularity[1]
    assert by_affinity > 1.2 * by_popularity[0]  # a user who clicked it sees more than one never seen


def test_nobody_is_shown_before_arrival_or_outside_the_scenario() -> None:
    world = World(named("drift"), scenarios=5, days=10, seed=1)
    policy = Policy(world)
    policy.start(4)
    index = np.arange(50_000)
    scenario = index % 5
    user = policy.users(index, scenario)
    item, _ = policy.items(index, scenario, user)
    assert world.members[scenario, user].all()
    assert world.offer[scenario, item].all()
    assert (world.people.arrival[user] <= 4).all()
    assert (world.goods.arrival[item] <= 4).all()
    assert (world.people.arrival[user] > 0).any()
