import torch

from polyrec.nn.selector import Pruning


def test_with_keep_one_the_flow_of_least_w_is_never_pruned():
    w = torch.tensor([[0.5, 0.2, 0.9], [-1.0, 0.2, -0.5]])
    assert Pruning("hard", peak=1.0, keep_one=True)(w).tolist() == [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    assert Pruning("hard", peak=1.0)(w).tolist() == [[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]


def test_straight_gates_have_the_value_of_hard_ones_and_the_slope_of_soft_ones():
    w = torch.tensor([[0.5, 0.2]], requires_grad=True)
    gates = Pruning("straight", peak=1.0, keep_one=True)(w)
    assert gates.tolist() == [[1.0, 0.0]]
    gates.sum().backward()
    soft = torch.sigmoid(w.detach())
    torch.testing.assert_close(w.grad, soft * (1 - soft))
