from typing import get_args

import pytest
import torch
from torch import nn

from polyrec import models, objectives
from polyrec.config import BalancerName
from polyrec.errors import ConfigError
from polyrec.objectives import balance
from polyrec.objectives.balance.balancer import Balancer, register
from polyrec.objectives.balance.beside import Beside
from polyrec.objectives.balance.fixed import FixedConfig
from polyrec.objectives.balance.shared import _nearest, last_shared
from polyrec.testing import example_layout, random_batch


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.bottom = nn.Linear(3, 4)
        self.a = nn.Linear(4, 1)
        self.b = nn.Linear(4, 1)

    def terms(self, x):
        h = self.bottom(x).relu()
        return {"a": self.a(h).square().mean(), "b": (self.b(h) - 1).square().mean()}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


def gradients(net):
    return {name: one.grad.clone() for name, one in net.named_parameters()}


def test_fixed_weights_are_those_of_a_weighted_sum(net):
    x = torch.randn(8, 3)
    balance.build("fixed", ("a", "b"), {"weights": {"b": 3.0}}).backward(net.terms(x), list(net.parameters()), step=0)
    found = gradients(net)
    net.zero_grad()
    terms = net.terms(x)
    (terms["a"] + 3 * terms["b"]).backward()
    for name, one in gradients(net).items():
        torch.testing.assert_close(found[name], one)


@pytest.mark.parametrize("name", balance.names())
def test_every_balancer_gives_every_parameter_a_gradient_and_adds_the_penalty(net, name):
    x = torch.randn(8, 3)
    plain = balance.build(name, ("a", "b"))
    plain.backward(net.terms(x), list(net.parameters()), step=0)
    before = gradients(net)
    net.zero_grad()
    penalised = balance.build(name, ("a", "b"))
    penalised.backward(net.terms(x), list(net.parameters()), step=0, extra=5.0 * net.bottom.bias.sum())
    for parameter, one in gradients(net).items():
        expected = before[parameter] + (5.0 if parameter == "bottom.bias" else 0.0)
        torch.testing.assert_close(one, expected)


@pytest.mark.parametrize("name", balance.names())
def test_a_term_without_rows_breaks_nothing(net, name):
    x = torch.randn(8, 3)
    balancer = balance.build(name, ("a", "b"))
    for step in range(3):
        net.zero_grad()
        terms = net.terms(x)
        balancer.backward({"a": terms["a"], "b": terms["b"] * 0.0}, list(net.parameters()), step=step)
        assert all(torch.isfinite(one).all() for one in gradients(net).values())
        assert all(weight > 0 for weight in balancer.weights.values())


@pytest.mark.parametrize("name", balance.names())
def test_state_goes_from_one_balancer_to_another(net, name):
    x = torch.randn(8, 3)
    first, second = balance.build(name, ("a", "b")), balance.build(name, ("a", "b"))
    for step in range(3):
        first.backward(net.terms(x), list(net.parameters()), step=step)
    second.load_state_dict(first.state_dict())
    net.zero_grad()
    first.backward(net.terms(x), list(net.parameters()), step=3)
    expected = gradients(net)
    net.zero_grad()
    second.backward(net.terms(x), list(net.parameters()), step=3)
    for parameter, one in gradients(net).items():
        assert torch.equal(one, expected[parameter])
    assert first.weights == second.weights


@pytest.mark.parametrize("name", [name for name in models.names() if name != "single"])
def test_in_every_registered_model_the_shared_layer_is_moved_by_several_terms(name):
    layout = example_layout(3)
    objective = objectives.build("pointwise", layout)
    model = models.build(name, layout, objective.heads)
    batch = random_batch(layout, 400, seed=2)
    terms = objective(model(batch), batch)
    parameters = list(model.parameters())
    place = last_shared(terms, parameters)
    moved = [torch.autograd.grad(one, parameters[place], retain_graph=True)[0] != 0 for one in terms.values()]
    together = torch.stack(moved).sum(0) >= 2
    assert together.float().mean() > 0.4, "towers side by side in one parameter are not shared"


def test_towers_that_lie_side_by_side_in_one_parameter_are_not_projected():
    layout = example_layout(3)
    objective = objectives.build("pointwise", layout)
    model = models.build("pooled", layout, objective.heads)
    batch = random_batch(layout, 300, seed=3)
    tower = model.towers.network.layers[-1].weight
    plain = torch.autograd.grad(sum(objective(model(batch), batch).values()), tower)[0]
    balance.build("pcgrad", objective.terms).backward(objective(model(batch), batch), list(model.parameters()), step=0)
    assert torch.allclose(tower.grad, plain, rtol=1e-5, atol=1e-8)


def test_the_last_shared_layer_is_the_one_nearest_to_the_terms():
    first, second = nn.Linear(3, 4), nn.Linear(4, 4)
    towers = nn.ModuleList([nn.Linear(4, 1), nn.Linear(4, 1)])
    h = second(first(torch.randn(2, 3)).relu()).relu()
    terms = {str(place): tower(h).sum() for place, tower in enumerate(towers)}
    parameters = [*first.parameters(), *second.parameters(), *towers.parameters()]
    assert parameters[last_shared(terms, parameters)] is second.weight


def test_a_run_file_may_name_every_balancer():
    assert set(get_args(BalancerName)) == set(balance.names())


def test_an_unknown_balancer_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"balancer 'gradnrom' is not registered.*Did you mean 'gradnorm'"):
        balance.build("gradnrom", ("a",))


def test_an_unknown_option_is_refused_with_the_nearest_name():
    with pytest.raises(
        ConfigError, match=r"\[balancer\] of gradnorm: option 'alhpa' is not known.*Did you mean 'alpha'"
    ):
        balance.build("gradnorm", ("a",), {"alhpa": 1.0})


def test_a_weight_for_an_unknown_term_is_refused():
    with pytest.raises(ConfigError, match=r"term 'by' is not of this objective. Known: click, buy. Did you mean 'buy'"):
        balance.build("fixed", ("click", "buy"), {"weights": {"by": 1.0}})


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ConfigError, match=r"balancer 'fixed' is registered already"):

        @register("fixed", FixedConfig)
        class Other(Balancer):
            pass


@pytest.mark.parametrize("name", balance.names())
def test_terms_beside_the_balanced_ones_are_added_with_the_weight_that_they_bring(net, name):
    x, extra = torch.randn(8, 3), torch.randn(4)
    balance.build(name, ("a", "b")).backward(net.terms(x), list(net.parameters()), step=0)
    before = gradients(net)
    net.zero_grad()
    found = Beside(balance.build(name, ("a", "b")), ("a", "b", "distill"))
    terms = {**net.terms(x), "distill": (net.bottom.bias * extra).sum()}
    found.backward(terms, list(net.parameters()), step=0, extra=5.0 * net.a.bias.sum())
    found.after(lambda: {**net.terms(x), "distill": torch.tensor(0.0)})
    assert tuple(found.weights) == ("a", "b", "distill")
    assert found.weights["distill"] == 1.0
    for parameter, one in gradients(net).items():
        more = {"bottom.bias": extra, "a.bias": 5.0}.get(parameter, 0.0)
        torch.testing.assert_close(one, before[parameter] + more)


def test_a_matrix_that_only_other_processes_reach_is_left_for_a_later_batch(net):
    x, parameters = torch.randn(8, 3), list(net.parameters())
    seen = [[torch.ones_like(one) for one in parameters] for _ in range(2)]  # summed over all processes
    none = {"a": torch.zeros((), requires_grad=True) * 1.0, "b": torch.zeros((), requires_grad=True) * 1.0}
    assert _nearest(none, parameters, seen) is None
    assert _nearest(net.terms(x), [net.bottom.weight], [one[:1] for one in seen]) == 0
