import pytest
import torch
from torch import nn

from polyrec.config import TrainingConfig
from polyrec.errors import ConfigError, DataError
from polyrec.nn.table import Table
from polyrec.training.optim import Optimizer
from polyrec.training.rowwise import RowwiseAdagrad, summed


class Net(nn.Module):
    def __init__(self, sparse=True):
        super().__init__()
        self.table = Table(6, 2, sparse=sparse)
        self.layer = nn.Linear(2, 1)

    def forward(self, ids):
        return self.layer(self.table(ids)).sum()


IDS = torch.tensor([1, 1, 4])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


def stepped(net, config, steps=1, optimizer=None):
    optimizer = optimizer or Optimizer({"model": net}, config, steps=10)
    for step in range(steps):
        net(IDS).backward()
        optimizer.step(step)
    return optimizer


def test_sparse_tables_go_to_row_wise_adagrad_and_the_rest_to_adam(net):
    optimizer = stepped(net, TrainingConfig())
    assert set(optimizer.rows.tables) == {"model.table.weight"}
    assert set(optimizer.dense) == {"model.layer.weight", "model.layer.bias"}
    assert all(one.grad is None for one in net.parameters())


def test_a_dense_table_is_trained_whole_by_adam():
    torch.manual_seed(0)
    net, reference = Net(sparse=False), Net(sparse=False)
    reference.load_state_dict(net.state_dict())
    config = TrainingConfig(lr=0.01, tables="dense", weight_decay=0.1, table_decay=0.2)
    stepped(net, config, steps=3)
    groups = [
        {"params": [reference.table.weight], "weight_decay": 0.2},
        {"params": reference.layer.parameters(), "weight_decay": 0.1},
    ]
    adam = torch.optim.Adam(groups, lr=0.01, foreach=False)
    for _ in range(3):
        adam.zero_grad()
        reference(IDS).backward()
        adam.step()
    for one, other in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_first_step_of_adam_is_its_learning_rate(net):
    before = net.layer.bias.item()
    stepped(net, TrainingConfig(lr=0.01))
    assert net.layer.bias.item() == pytest.approx(before - 0.01, abs=1e-6)


def test_the_schedule_scales_both_learning_rates(net):
    whole, half = Net(), Net()
    whole.load_state_dict(net.state_dict())
    half.load_state_dict(net.state_dict())
    stepped(whole, TrainingConfig())
    stepped(half, TrainingConfig(warmup=2))
    for name, start in net.state_dict().items():
        far, near = whole.state_dict()[name] - start, half.state_dict()[name] - start
        torch.testing.assert_close(2 * near, far, rtol=1e-3, atol=1e-6)


def test_weight_decay_is_for_the_model_alone():
    model, objective = nn.Linear(1, 1), nn.Linear(1, 1)
    parts = {"model": model, "objective": objective}
    before = objective.weight.item()
    optimizer = Optimizer(parts, TrainingConfig(weight_decay=1.0), steps=1)
    for one in (*model.parameters(), *objective.parameters()):
        one.grad = torch.zeros_like(one)
    weight = model.weight.item()
    optimizer.step(0)
    assert objective.weight.item() == before
    assert abs(model.weight.item()) < abs(weight)


def test_clipping_bounds_the_norm_of_the_dense_gradient(net):
    optimizer = Optimizer({"model": net}, TrainingConfig(clip=0.5), steps=1)
    seen = []
    optimizer.adam.register_step_pre_hook(
        lambda *_: seen.append(torch.stack([one.grad.norm() for one in optimizer.dense.values()]).norm().item())
    )
    (1000 * net(IDS)).backward()
    optimizer.step(0)
    assert seen == pytest.approx([0.5], rel=1e-3)


def test_frozen_parameters_are_left_out(net):
    net.layer.requires_grad_(False)
    net.table.weight.requires_grad_(True)
    optimizer = stepped(net, TrainingConfig())
    assert optimizer.dense == {}
    assert optimizer.adam is None
    assert set(optimizer.state()) == {"rows.model.table.weight"}


def test_state_goes_from_one_optimizer_to_another(net):
    config = TrainingConfig(lr=0.05, weight_decay=0.01)
    first = stepped(net, config, steps=3)
    other = Net()
    other.load_state_dict(net.state_dict())
    second = Optimizer({"model": other}, config, steps=10)
    second.load({name: one.clone() for name, one in first.state().items()})
    stepped(net, config, 3, first)
    stepped(other, config, 3, second)
    for one, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, theirs)


def test_state_of_other_parameters_is_refused(net):
    optimizer = Optimizer({"model": net}, TrainingConfig(), steps=1)
    with pytest.raises(DataError, match=r"state 'rows.model.other' \(3,\), which this model has no parameter"):
        optimizer.load({"rows.model.other": torch.zeros(3)})


def test_a_dense_gradient_is_refused_by_row_wise_adagrad():
    table = nn.Parameter(torch.ones(2, 2))
    table.grad = torch.ones(2, 2)
    with pytest.raises(ConfigError, match=r"table 'a' has a dense gradient.*tables = 'dense'"):
        RowwiseAdagrad({"a": table}, lr=0.1).step()


def test_a_batch_that_reads_no_row_moves_nothing():
    table = nn.Embedding(3, 2, sparse=True)
    before = table.weight.detach().clone()
    table(torch.zeros(0, dtype=torch.long)).sum().backward()
    RowwiseAdagrad({"a": table.weight}, lr=0.1, decay=0.1).step()
    assert torch.equal(table.weight, before)


def test_gradients_of_one_id_are_summed_in_the_order_of_the_batch():
    big = torch.tensor([[1e8], [1.0], [-1e8], [1.0]])
    _, sums = summed(torch.tensor([7, 7, 7, 7]), big)
    expected = torch.zeros(())
    for value in big[:, 0]:
        expected = expected + value
    assert sums.item() == expected.item()


def test_a_table_read_twice_in_one_step_gets_both_gradients():
    table = nn.Embedding(4, 1, sparse=True)
    nn.init.zeros_(table.weight)
    (table(torch.tensor([1])) + 3 * table(torch.tensor([1, 2]))).sum().backward()
    ids, values = summed(table.weight.grad._indices()[0], table.weight.grad._values())
    assert dict(zip(ids.tolist(), values[:, 0].tolist(), strict=True)) == {1: 5.0, 2: 3.0}


def test_a_ratio_multiplies_the_rate_of_the_parameters_it_names(net):
    before = {name: one.detach().clone() for name, one in net.named_parameters()}
    stepped(net, TrainingConfig(lr=0.1, lr_ratios={"layer.*": 0.5, "layer.bias": 0.01}))
    moved = {name: (one.detach() - before[name]).abs().max().item() for name, one in net.named_parameters()}
    assert moved["layer.weight"] == pytest.approx(0.05, rel=1e-3)  # Adam's first step is the rate itself
    assert moved["layer.bias"] == pytest.approx(0.001, rel=1e-3)


def test_parameters_without_decay_have_none(net):
    config = TrainingConfig(lr=0.1, weight_decay=10.0, no_decay=("layer.bias",))
    optimizer = Optimizer({"model": net}, config, steps=10)
    groups = {len(group["params"]): group["weight_decay"] for group in optimizer.adam.param_groups}
    decays = {group["weight_decay"] for group in optimizer.adam.param_groups}
    assert decays == {0.0, 10.0}, groups
    free = next(group for group in optimizer.adam.param_groups if group["weight_decay"] == 0.0)
    assert free["params"] == [net.layer.bias]


def test_rates_of_their_own_survive_a_checkpoint(net):
    config = TrainingConfig(lr=0.1, lr_ratios={"layer.bias": 0.01})
    torch.manual_seed(0)
    whole = Net()
    stepped(whole, config, steps=2)
    first = stepped(net, config)
    again = Optimizer({"model": net}, config, steps=10)
    again.load(first.state())
    net(IDS).backward()
    again.step(1)
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), whole.parameters(), strict=True))


def test_a_pattern_that_fits_no_parameter_is_refused(net):
    with pytest.raises(ConfigError, match=r"pattern 'tower.\*' is not a parameter. Known: layer.\*, table.\*"):
        Optimizer({"model": net}, TrainingConfig(lr_ratios={"tower.*": 0.1}), steps=1)
