import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from polyrec.nn.lora import HeadLoRA, LoRA
from polyrec.nn.route import Route


def stirred(bank):
    with torch.no_grad():
        for one in bank.parameters():
            one.normal_()
    return bank


@pytest.mark.parametrize("scenarios", [1, 3, 40])
def test_every_row_meets_the_matrices_of_its_own_scenario(scenarios):
    torch.manual_seed(0)
    bank = stirred(LoRA(6, 5, scenarios, rank=2))
    scenario = torch.randint(-1, scenarios, (60,))
    x = torch.randn(60, 6)
    route = Route(scenario, scenarios, unknown="shared")
    y = route.restore(bank(x[route.order], route)[None])[0]
    for row in range(60):
        k = int(scenario[row])
        expected = x[row] @ bank.down[k, 0] @ bank.up[k, 0] + bank.bias[k, 0] if k >= 0 else torch.zeros(5)
        assert torch.allclose(y[row], expected, atol=1e-5)


def test_rows_of_unknown_scenario_alone_get_zero():
    bank = stirred(LoRA(6, 5, 3, rank=2))
    route = Route(torch.full((4,), -1), 3, unknown="shared")
    assert not bank(torch.randn(4, 6), route).any()
    nobody = Route(torch.zeros(0, dtype=torch.long), 3, unknown="shared")
    assert bank(torch.zeros(0, 6), nobody).shape == (0, 5)


def test_it_starts_at_zero_unless_asked_to_be_live():
    route = Route(torch.tensor([0, 1]), 2, unknown="shared")
    assert not LoRA(6, 5, 2, rank=2)(torch.randn(2, 6), route).any()
    assert LoRA(6, 5, 2, rank=2, live=True)(torch.randn(2, 6), route).any()


def test_a_row_costs_two_small_multiplications_whatever_the_number_of_scenarios():
    for scenarios in (3, 300):
        bank, scenario = LoRA(64, 32, scenarios, rank=2), torch.arange(3000) % scenarios
        route = Route(scenario, scenarios, unknown="shared")
        with FlopCounterMode(display=False) as counter:
            bank(torch.randn(3000, 64), route)
        assert counter.get_total_flops() == 2 * 3000 * 2 * (64 + 32)


def test_heads_have_maps_of_their_own():
    torch.manual_seed(0)
    bank = stirred(HeadLoRA(3, 6, 5, rank=2))
    x, each = torch.randn(4, 6), torch.randn(3, 4, 6)
    for t in range(3):

        def y(one, t=t):
            return one @ bank.down[t] @ bank.up[t] + bank.bias[t]

        assert torch.allclose(bank(x)[t], y(x), atol=1e-5)
        assert torch.allclose(bank(each)[t], y(each[t]), atol=1e-5)
