"""Hand-written gradients against autograd's own."""

import pytest
import torch

from polyrec.nn import route as routing
from polyrec.nn.grouped import Groups, grouped
from polyrec.nn.route import Route
from polyrec.nn.stacked import StackedLinear

SIZES = {"one by one": (5, 3, 1), "all small": (2, 2, 1), "both": (9, 2, 1)}


def _numbers(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def _plain(x, own, shared, scenario):
    rows = []
    for place, one in enumerate(scenario.tolist()):
        weight, bias = own[0][one], own[1][one]
        if shared is not None:
            weight, bias = weight * shared[0], bias + shared[1]
        rows.append(torch.einsum("ti,tio->to", x[:, place], weight) + bias)
    return torch.stack(rows, 1)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("star", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_grouped_products_and_all_gradients_are_those_of_row_by_row(monkeypatch, sizes, heads, star, relu):
    monkeypatch.setattr(routing, "SMALL_GROUP", 2)
    scenario = torch.cat([torch.full((size,), place) for place, size in zip((4, 0, 2), sizes, strict=True)])
    route = Route(scenario, 5)  # scenarios 1 and 3 have no row
    assert len(route.order) == len(scenario)
    x, own = _numbers(heads, len(scenario), 4), (_numbers(5, heads, 4, 3), _numbers(5, heads, 3))
    shared = (_numbers(heads, 4, 3), _numbers(heads, 3)) if star else None
    y, want = route.linear(x, own, shared, relu=relu), _plain(x, own, shared, scenario[route.order])
    want = torch.relu(want) if relu else want
    torch.testing.assert_close(y, want)
    inputs = [x, *own, *(shared or ())]
    steps = torch.rand_like(y)
    for found, one in zip(torch.autograd.grad(y, inputs, steps), torch.autograd.grad(want, inputs, steps), strict=True):
        torch.testing.assert_close(found, one)


def test_nothing_is_computed_for_what_needs_no_gradient():
    groups = Groups(torch.tensor([0, 1]), (0, 1), (2, 1), 2)
    own = (_numbers(2, 1, 4, 3), torch.zeros(2, 1, 3, dtype=torch.float64))
    x = torch.rand(1, 3, 4, dtype=torch.float64)
    y = grouped(x, own, None, groups)
    y.sum().backward()
    torch.testing.assert_close(own[0].grad[1, 0], x[0, 2][:, None].expand(4, 3))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_stacked_layers_have_autograds_gradients(shared, relu):
    layer = StackedLinear(3, 4, 2).double()
    x = torch.randn(5, 4, dtype=torch.float64) if shared else torch.randn(3, 5, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x, *_: layer(x, relu=relu), (x.requires_grad_(), layer.weight, layer.bias), fast_mode=False
    )


def test_answers_and_gradients_of_a_row_lie_together():
    layer = StackedLinear(3, 4, 2)
    x = torch.rand(3, 5, 4, requires_grad=True)
    y = layer(x)
    assert y.transpose(0, 1).is_contiguous()
    assert torch.autograd.grad(y.sum(), x)[0].transpose(0, 1).is_contiguous()


@pytest.mark.parametrize("x", [torch.zeros(0, 4), torch.zeros(3, 0, 4)])
def test_stacked_layers_take_no_rows_at_all(x):
    y = StackedLinear(3, 4, 2)(x.requires_grad_())
    assert y.shape == (3, 0, 2)
    y.sum().backward()


@pytest.mark.parametrize("alone", range(5))
def test_an_input_that_alone_needs_a_gradient_gets_its_own(alone):
    """And rows may lie in memory in any way."""
    groups = Groups(torch.tensor([2, 0, 3]), (2, 0, 3), (3, 2, 1), 1, torch.tensor([0, 1, 2]))
    parts = [_numbers(6, 4, 2), _numbers(4, 2, 4, 3), _numbers(4, 2, 3), _numbers(2, 4, 3), _numbers(2, 3)]
    parts = [one.detach().requires_grad_(place == alone) for place, one in enumerate(parts)]

    def answer(one):
        x, weight, bias, shared, base = (one if place == alone else part for place, part in enumerate(parts))
        return grouped(x.permute(2, 0, 1), (weight, bias), (shared, base), groups, relu=True)

    assert torch.autograd.gradcheck(answer, (parts[alone],))


def test_a_layer_may_be_used_twice_and_gone_back_through_twice():
    layer = StackedLinear(2, 3, 3).double()
    x = torch.randn(5, 3, dtype=torch.float64)

    def plain(x):
        return torch.relu(torch.baddbmm(layer.bias[:, None], x.expand(2, 5, 3), layer.weight))

    y, want = (twice(twice(x)) for twice in (lambda x: layer(x, relu=True), plain))
    first, again = (torch.autograd.grad(y.sum(), list(layer.parameters()), retain_graph=True) for _ in range(2))
    for found, same, one in zip(first, again, torch.autograd.grad(want.sum(), list(layer.parameters())), strict=True):
        torch.testing.assert_close(found, one)
        assert torch.equal(found, same)


@pytest.mark.parametrize("star", [False, True])
def test_lower_precision_is_taken_where_it_is_asked_for(star):
    """Products that are written in place know nothing of autocast, which must then take the others."""
    torch.manual_seed(0)
    scenario = torch.tensor([0, 1, 1, 2, 2, 2])
    route, layer = Route(scenario, 3, unknown="shared"), StackedLinear(2, 4, 8)
    own = (torch.rand(3, 2, 8, 3, requires_grad=True), torch.rand(3, 2, 3, requires_grad=True))
    shared = (torch.rand(2, 8, 3), torch.rand(2, 3)) if star else None
    x = torch.rand(2, 6, 4)
    want = route.linear(layer(x, relu=True), own, shared)
    with torch.autocast("cpu", torch.bfloat16):
        y = route.linear(layer(x, relu=True), own, shared)
    torch.testing.assert_close(y.float(), want, rtol=0.03, atol=0.03)
    steps = torch.rand_like(want)
    found = torch.autograd.grad(y.float(), [*own, layer.weight], steps)
    for one, exact in zip(found, torch.autograd.grad(want, [*own, layer.weight], steps), strict=True):
        assert (one - exact).norm() < 0.1 * exact.norm()  # as a whole: a unit near 0 may fall on the other side of it
