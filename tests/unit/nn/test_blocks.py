import pytest
import torch

from polyrec.nn.experts import Experts
from polyrec.nn.gates import Gates, GateUnit, Selectors, mix
from polyrec.nn.mlp import MLP
from polyrec.nn.route import Route, Whole
from polyrec.nn.stacked import StackedLinear, StackedMLP
from polyrec.nn.tower import Towers


def test_stacked_maps_equal_maps_one_by_one_for_shared_and_own_rows():
    layer = StackedLinear(3, 5, 2)
    shared, own = torch.rand(4, 5), torch.rand(3, 4, 5)
    for place in range(3):
        torch.testing.assert_close(layer(shared)[place], shared @ layer.weight[place] + layer.bias[place])
        torch.testing.assert_close(layer(own)[place], own[place] @ layer.weight[place] + layer.bias[place])


def test_experts_of_one_row_lie_together():
    experts = Experts(3, 5, (4, 2))
    x = torch.rand(6, 5)
    h = experts(x)
    assert h.shape == (6, 3, 2)
    assert h.is_contiguous()
    torch.testing.assert_close(h[:, 1], experts.networks(x)[1])


def test_mixing_is_the_weighted_sum_of_experts():
    share, experts = torch.rand(4, 2, 3), torch.rand(4, 3, 5)
    torch.testing.assert_close(mix(share, experts), torch.einsum("nte,neh->tnh", share, experts))


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("scenarios", [None, 3])
def test_gates_and_selectors_share_out_exactly_one(rows, scenarios):
    scenario = torch.arange(rows) % 3
    route = Route(scenario, 3) if scenarios else Whole()
    share = Gates(4, experts=6, heads=2, scenarios=scenarios)(torch.rand(rows, 4), route)
    assert share.shape == (rows, 2, 6)
    torch.testing.assert_close(share.sum(-1), torch.ones(rows, 2))
    share = Selectors(4, experts=6, heads=2, scenarios=scenarios)(torch.rand(2, rows, 4), route)
    assert share.shape == (rows, 2, 6)
    torch.testing.assert_close(share.sum(-1), torch.ones(rows, 2))


def test_a_gate_unit_at_zero_changes_nothing():
    gate = GateUnit(3, 4, 2)
    torch.nn.init.zeros_(gate.last.weight)
    torch.nn.init.zeros_(gate.last.bias)
    assert gate(torch.rand(5, 3)).tolist() == [[1.0, 1.0]] * 5


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("scenarios", [None, 3])
def test_towers_give_one_logit_a_row_and_head(rows, scenarios):
    route = Route(torch.arange(rows) % 3, 3) if scenarios else Whole()
    assert Towers(4, (3,), heads=2, scenarios=scenarios)(torch.rand(2, rows, 4), route).shape == (2, rows)


def test_the_last_layer_of_a_linear_end_has_no_activation():
    network = StackedMLP(1, 2, (1,), linear_end=True)
    with torch.no_grad():
        network.layers[0].weight.fill_(-1.0)
        network.layers[0].bias.zero_()
    assert network(torch.ones(1, 2)).item() == -2.0
    network.linear_end = False
    assert network(torch.ones(1, 2)).item() == 0.0


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_an_mlp_without_layers_is_the_input_itself(activation):
    x = torch.rand(3, 4)
    mlp = MLP(4, (), activation=activation)
    assert mlp.width == 4
    assert torch.equal(mlp(x), x)


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    for block in (MLP(8, (64,), dropout=0.5), StackedMLP(1, 8, (64,), dropout=0.5)):
        x = torch.rand(4, 8)
        assert not torch.equal(block(x), block(x))
        block.eval()
        assert torch.equal(block(x), block(x))
