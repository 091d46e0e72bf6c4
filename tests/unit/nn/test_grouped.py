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
