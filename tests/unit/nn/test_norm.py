import numpy as np
import pytest
import torch

from polyrec.nn.norm import PartitionedNorm
from polyrec.nn.route import Route


def normed(norm, x, scenario):
    route = Route(torch.tensor(scenario), norm.scenarios, unknown="shared")
    return route.restore(norm(x[route.order], route)[None])[0]


def test_training_normalises_each_scenarios_rows_by_themselves():
    norm = PartitionedNorm(3, 2)
    x = torch.randn(9, 3) * 4.0 + 7.0
    y = normed(norm, x, [0, 1, 0, 1, 0, 1, 0, 1, 0])
    for rows in (y[0::2], y[1::2]):
        torch.testing.assert_close(rows.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(rows.var(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)


def test_running_moments_are_the_mean_of_the_first_batches_and_only_of_scenarios_seen():
    norm = PartitionedNorm(3, 2, momentum=0.01)
    batches = [torch.randn(6, 3) + turn for turn in range(4)]
    for batch in batches:
        normed(norm, batch, [0] * 6)
    np.testing.assert_allclose(norm.mean[0], np.mean([one.mean(0).numpy() for one in batches], 0), rtol=1e-5)
    np.testing.assert_allclose(norm.var[0], np.mean([one.numpy().var(0) for one in batches], 0), rtol=1e-5)
    assert norm.mean[1].tolist() == [0.0, 0.0, 0.0]
    assert norm.seen.tolist() == [4.0, 0.0]


def test_scoring_moves_no_statistic_and_ignores_batch_mates():
    norm = PartitionedNorm(3, 2)
    normed(norm, torch.randn(8, 3), [0, 1] * 4)
    norm.eval()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    x = torch.randn(5, 3)
    together = normed(norm, x, [0, 1, -1, 0, -1])
    alone = torch.cat([normed(norm, x[[row]], [s]) for row, s in enumerate([0, 1, -1, 0, -1])])
    torch.testing.assert_close(together, alone)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


@pytest.mark.parametrize("scenario", [[], [0], [0, 1], [-1], [0, 0, 1]])
def test_few_rows_stay_finite_when_training(scenario):
    norm = PartitionedNorm(3, 2)
    x = torch.full((len(scenario), 3), 5.0, requires_grad=True)
    y = (
        normed(norm, x, scenario)
        if scenario
        else norm(x, Route(torch.zeros(0, dtype=torch.int64), 2, unknown="shared"))
    )
    assert torch.isfinite(y).all()
    y.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_one_row_of_a_scenario_is_normalised_by_the_running_moments():
    norm = PartitionedNorm(2, 2)
    norm.mean.fill_(1.0)
    norm.var.fill_(4.0)
    y = normed(norm, torch.tensor([[3.0, 5.0]]), [1])
    torch.testing.assert_close(y, torch.tensor([[1.0, 2.0]]), atol=1e-4, rtol=0)
