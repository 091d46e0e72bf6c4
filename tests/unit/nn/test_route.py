import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from polyrec.nn import route as routing
from polyrec.nn.route import Route, Whole
from polyrec.nn.routed import RoutedLinear, RoutedMLP, StarLinear

SCENARIOS = 5
rows = st.lists(st.integers(-1, SCENARIOS - 1), max_size=60)


def through(layer, x, route):
    """Rows `[B, I]` through a routed stack and back into their own order `[B, O]`."""
    x = x if route.order is None else x[route.order]
    return route.restore(route.leave(layer(route.enter(x)[None], route)))[0]


def by_hand(layer, x, scenario):
    answers = []
    for row, s in zip(x, scenario, strict=True):
        every = range(SCENARIOS) if s < 0 else [s]
        answers.append(torch.stack([row @ layer.weight[one, 0] + layer.bias[one, 0] for one in every]).mean(0))
    return torch.stack(answers) if answers else x.new_zeros(0, layer.weight.shape[-1])


@pytest.mark.parametrize("small", [0, 3, 16])
@given(scenario=rows)
def test_a_row_meets_its_own_scenarios_weights_and_an_unknown_one_the_mean_of_all(small, scenario):
    layer = RoutedLinear(3, 2, SCENARIOS).double()
    x = torch.randn(len(scenario), 3, dtype=torch.float64)
    before = routing.SMALL_GROUP
    try:
        routing.SMALL_GROUP = small  # 0: one multiplication a group; 16: most of them together
        found = through(layer, x, Route(torch.tensor(scenario, dtype=torch.int64), SCENARIOS))
    finally:
        routing.SMALL_GROUP = before
    torch.testing.assert_close(found, by_hand(layer, x, scenario))


@given(scenario=rows)
def test_gradients_are_those_of_the_rows_own_scenarios(scenario):
    layer, other = RoutedLinear(3, 2, SCENARIOS).double(), RoutedLinear(3, 2, SCENARIOS).double()
    other.load_state_dict(layer.state_dict())
    x = torch.randn(len(scenario), 3, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    through(layer, x, Route(torch.tensor(scenario, dtype=torch.int64), SCENARIOS)).square().sum().backward()
    if scenario:
        by_hand(other, y, scenario).square().sum().backward()
        torch.testing.assert_close(x.grad, y.grad)
        torch.testing.assert_close(layer.weight.grad, other.weight.grad)
        torch.testing.assert_close(layer.bias.grad, other.bias.grad)
    else:
        assert not layer.weight.grad.any()  # no rows, yet a gradient: the term keeps its graph


def test_few_of_many_scenarios_give_the_same_gradients_as_many():
    layer = RoutedLinear(200, 60, 40).double()  # large weights: one multiplication a group
    x = torch.randn(30, 200, dtype=torch.float64)
    scenario = torch.tensor([3, 17, 3] * 10)
    through(layer, x, Route(scenario, 40)).square().sum().backward()
    assert layer.weight.grad.abs().sum((1, 2, 3)).nonzero()[:, 0].tolist() == [3, 17]
    with torch.no_grad():
        found = through(layer, x, Route(scenario, 40))
    expected = torch.stack([row @ layer.weight[s, 0] + layer.bias[s, 0] for row, s in zip(x, scenario, strict=True)])
    torch.testing.assert_close(found, expected)


@given(scenario=rows)
def test_heads_run_side_by_side(scenario):
    stack = RoutedMLP(3, (4, 1), SCENARIOS, heads=2, linear_end=True).double()
    x = torch.randn(2, len(scenario), 3, dtype=torch.float64)
    route = Route(torch.tensor(scenario, dtype=torch.int64), SCENARIOS)
    entered = torch.stack([route.enter(one[route.order]) for one in x])
    found = route.restore(route.leave(stack(entered, route)))
    for head in range(2):
        alone = RoutedMLP(3, (4, 1), SCENARIOS, linear_end=True).double()
        alone.load_state_dict({name: value[:, [head]] for name, value in stack.state_dict().items()})
        torch.testing.assert_close(found[head], through(alone, x[head], route))


@given(scenario=rows)
def test_star_weights_multiply_and_unknown_rows_meet_the_shared_ones_alone(scenario):
    layer = StarLinear(3, 2, SCENARIOS).double()
    with torch.no_grad():
        layer.own_weight.normal_()
        layer.own_bias.normal_()
    x = torch.randn(len(scenario), 3, dtype=torch.float64)
    found = through(layer, x, Route(torch.tensor(scenario, dtype=torch.int64), SCENARIOS, unknown="shared"))
    for row, s, y in zip(x, scenario, found, strict=True):
        weight, bias = layer.weight[0], layer.bias[0]
        if s >= 0:
            weight, bias = weight * layer.own_weight[s, 0], bias + layer.own_bias[s, 0]
        torch.testing.assert_close(y, row @ weight + bias)


@given(scenario=rows)
def test_the_exported_way_equals_the_grouped_one(scenario):
    given_ = torch.tensor(scenario, dtype=torch.int64)
    x = torch.randn(len(scenario), 3)
    for layer, unknown in ((RoutedLinear(3, 2, SCENARIOS), "mean"), (StarLinear(3, 2, SCENARIOS), "shared")):
        grouped = through(layer, x, Route(given_, SCENARIOS, unknown=unknown))
        dense = Route.__new__(Route)
        dense.scenarios, dense.shared, dense.dense = SCENARIOS, unknown == "shared", True
        dense._inverse = dense._padding = None
        dense._keep_order(given_)
        torch.testing.assert_close(through(layer, x, dense), grouped, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scenarios", [30, 300, 1000])
def test_multiplications_a_row_are_flat_in_scenarios(scenarios):
    def work(count):
        scenario = torch.arange(4096) % count
        layer = RoutedMLP(64, (32, 1), count, heads=2)
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            layer(torch.rand(2, 4096, 64), Route(scenario, count))
        return flops.get_total_flops()

    assert work(scenarios) <= 1.25 * work(3)


def test_rows_names_what_enters():
    scenario = torch.tensor([2, -1, 0, 2])
    route = Route(scenario, 3)
    row, entered_for = route.rows()
    assert row.tolist() == [0, 3, 2, 1, 1, 1]
    assert entered_for.tolist() == [2, 2, 0, 0, 1, 2]
    x = torch.arange(4.0)[:, None]
    assert torch.equal(route.enter(x[route.order]), x[row])


def test_whole_leaves_rows_as_they_are():
    x = torch.rand(2, 3, 4)
    assert Whole().enter(x) is x
    assert Whole().leave(x) is x
    assert Whole().restore(x) is x


@pytest.mark.parametrize("scenario", [[2, 0, 2, -1, 2], [1], [-1, -1], []])
def test_products_are_summed_over_the_rows_of_each_scenario_present(scenario):
    route = Route(torch.tensor(scenario, dtype=torch.int64), 3)
    x, y = torch.rand(len(scenario), 4), torch.rand(len(scenario), 2)
    found = route.products(route.enter(x[route.order]), route.enter(y[route.order]))
    assert found.shape == (len(route.present), 4, 2)
    for product, one in zip(found, route.present.tolist(), strict=True):
        rows = [row for row, place in enumerate(scenario) if place == one]
        torch.testing.assert_close(product, sum(torch.outer(x[row], y[row]) for row in rows))


@pytest.mark.parametrize("star", [False, True])
def test_one_kernel_for_all_groups_gives_what_one_a_group_gives(star):
    """The way of a GPU in half precision, on a CPU: with groups absent, of one row and of many."""
    scenario = torch.tensor([4] * 9 + [0] + [2] * 30)[torch.randperm(40)]
    route = Route(scenario, 6, unknown="shared")
    own = (torch.randn(6, 2, 16, 8, requires_grad=True), torch.randn(6, 2, 8, requires_grad=True))
    shared = (torch.randn(2, 16, 8, requires_grad=True), torch.randn(2, 8)) if star else None
    x = torch.randn(2, 40, 16, requires_grad=True)
    parts = [x, *own, *(shared[:1] if shared else ())]
    want, found = route.linear(x, own, shared), route.launched(x, own, shared)
    assert found.dtype == torch.bfloat16
    away = (found.float() - want).abs().max() / want.abs().max()
    assert away < 0.02
    steps = torch.randn_like(want)
    exact, rough = torch.autograd.grad(want, parts, steps), torch.autograd.grad(found.float(), parts, steps)
    for one, other in zip(rough, exact, strict=True):
        assert (one - other).abs().max() < 0.03 * other.abs().max()
