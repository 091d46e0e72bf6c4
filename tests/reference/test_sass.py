"""SASS against its equations, row by row, and the properties that its structure promises."""

import torch

from polyrec import models
from polyrec.nn.adaptive import AdaptiveTransfer
from polyrec.nn.route import Route
from polyrec.testing import example_layout, random_batch


def routed(layer, x, s):
    return x @ layer.weight[s, 0] + layer.bias[s, 0]


def test_a_layer_is_its_formula_row_by_row():
    torch.manual_seed(0)
    layer = AdaptiveTransfer(5, 4, 3, embedding=2)
    scenario = torch.tensor([1, 0, 1, 2])
    shared, own, e = torch.randn(4, 5), torch.randn(4, 5), torch.randn(4, 2)
    route = Route(scenario, 3)
    order = route.order
    g, h = layer(shared[order], own[order], e[order], route)
    for place, row in enumerate(order.tolist()):
        s = int(scenario[row])
        gg = torch.relu(layer.shared(shared[row]))
        hh = torch.relu(routed(layer.own, own[row], s))
        a = torch.sigmoid(routed(layer.adaptive, torch.cat([gg, hh, e[row]]), s))
        c = torch.tanh(routed(layer.candidate, torch.cat([a * gg, hh]), s))
        z = torch.sigmoid(routed(layer.update, torch.cat([gg, hh, e[row]]), s))
        assert torch.allclose(g[place], gg, atol=1e-6)
        assert torch.allclose(h[place], (1 - z) * hh + z * c, atol=1e-6)


def test_closed_update_gates_make_the_vectors_independent_of_the_global_network():
    layout, batch = example_layout(), random_batch(example_layout(), 20)
    torch.manual_seed(0)
    model = models.build("sass", layout, ("click",)).eval()

    @torch.no_grad()
    def moved():
        before = model.user(batch), model.item(batch)
        with torch.no_grad():
            for tower in (model.users, model.items):
                for layer in tower.layers:
                    layer.shared.weight.add_(torch.randn_like(layer.shared.weight))
        return [float((a - b).abs().max()) for a, b in zip(before, (model.user(batch), model.item(batch)), strict=True)]

    assert min(moved()) > 1e-4
    with torch.no_grad():
        for tower in (model.users, model.items):
            for layer in tower.layers:
                layer.update.weight.zero_()
                layer.update.bias.fill_(-200.0)
    assert moved() == [0.0, 0.0]


def test_with_one_scenario_and_closed_gates_it_is_a_plain_two_tower():
    layout, batch = example_layout(1), random_batch(example_layout(1), 20)
    torch.manual_seed(0)
    model = models.build("sass", layout, ("click",), {"widths": [8, 6]}).eval()
    with torch.no_grad():
        for layer in model.users.layers:
            layer.update.weight.zero_()
            layer.update.bias.fill_(-200.0)
    x = model.inputs(batch)
    h = x[:, model.sides.user]
    for layer in model.users.layers:
        h = torch.relu(h @ layer.own.weight[0, 0] + layer.own.bias[0, 0])
    bias = model.users.bias(torch.cat([x[:, -16:], x[:, model.sides.context]], 1))
    expected = torch.nn.functional.normalize(model.users.end(torch.cat([h, bias], 1)), dim=1)
    assert torch.allclose(model.user(batch), expected, atol=1e-6)


def test_an_item_has_another_vector_in_another_scenario():
    from dataclasses import replace

    layout, batch = example_layout(), random_batch(example_layout(), 20)
    torch.manual_seed(0)
    model = models.build("sass", layout, ("click",)).eval()
    with torch.no_grad():
        here = model.item(replace(batch, scenario=torch.zeros(20, dtype=torch.int64)))
        there = model.item(replace(batch, scenario=torch.ones(20, dtype=torch.int64)))
    assert float((here - there).abs().min(1).values.max()) > 1e-4


def test_switched_off_parts_have_no_parameters():
    layout = example_layout()

    def names(**options):
        return {
            name.split(".", 1)[1] for name, _ in models.build("sass", layout, ("click",), options).named_parameters()
        }

    assert any("adaptive" in one for one in names())
    assert not any("adaptive" in one for one in names(adaptive=False))
    assert not any("update" in one for one in names(update=False))
    assert not any("layers.0.candidate" in one for one in names(gates="top"))
    assert any("layers.1.candidate" in one for one in names(gates="top"))


def test_at_the_start_a_scenarios_path_is_near_the_global_one_and_departs_from_it_by_learning():
    torch.manual_seed(0)
    layer = AdaptiveTransfer(16, 8, 3, embedding=4)
    route = Route(torch.arange(3).repeat(20), 3)
    shared = torch.randn(60, 16)
    g, own = layer(shared, shared, torch.randn(60, 4), route)
    near = float((own - g).norm().detach() / g.norm().detach())
    assert near < 0.7
    own[route.group == 0].square().sum().backward()
    assert bool((layer.candidate.weight.grad != 0).any())
    assert bool((layer.own.weight.grad != 0).any())
