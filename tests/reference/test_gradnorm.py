"""GradNorm's weights against the paper's loss, differentiated twice by autograd, and a step by hand."""

import math

import pytest
import torch
from torch import nn

from polyrec.errors import ConfigError
from polyrec.objectives.balance import build
from polyrec.objectives.balance.gradnorm import LOOKS


class TwoTasks(nn.Module):
    """A shared matrix behind a shared bottom, and a vector a task."""

    def __init__(self, tasks=3):
        super().__init__()
        self.bottom = nn.Parameter(torch.randn(4, 5))
        self.shared = nn.Parameter(torch.randn(5, 3))
        self.towers = nn.ParameterList([nn.Parameter(torch.randn(3)) for _ in range(tasks)])

    def terms(self, x, scales=(1.0, 5.0, 0.2)):
        h = torch.tanh(x @ self.bottom) @ self.shared
        return {
            name: scale * (h @ tower).square().mean()
            for name, scale, tower in zip("abc", scales, self.towers, strict=False)
        }


def gradient_by_the_paper(model, x, weights, initial, alpha):
    """sum_i |G_i - mean(G) r_i^alpha|, targets constant, differentiated through the norms."""
    weights = weights.clone().requires_grad_()
    values = model.terms(x)
    norms = []
    for weight, value in zip(weights, values.values(), strict=True):
        (gradient,) = torch.autograd.grad(weight * value, model.shared, create_graph=True)
        norms.append(gradient.norm())
    norms = torch.stack(norms)
    ratio = torch.stack(list(values.values())).detach() / initial
    target = norms.mean().detach() * (ratio / ratio.mean()) ** alpha
    loss = (norms - target).abs().sum()
    return torch.autograd.grad(loss, weights)[0], norms.mean().detach()


def step(balancer, model, x, terms=None):
    parameters = list(model.parameters())
    for one in parameters:
        one.grad = None
    balancer.backward(terms or model.terms(x), parameters, step=0)


def told(balancer, initial, recent):
    """As if every term had been looked at often enough."""
    balancer.initial.copy_(initial)
    balancer.recent.copy_(recent)
    balancer.seen.fill_(10_000)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.5])
def test_the_weights_move_against_the_gradient_of_the_paper_and_sum_to_the_number_of_tasks(alpha):
    torch.manual_seed(0)
    model, x = TwoTasks(), torch.randn(16, 4)
    balancer = build("gradnorm", ("a", "b", "c"), {"alpha": alpha, "lr": 0.1})
    now = torch.stack([one.detach() for one in model.terms(x).values()])
    initial = now * torch.tensor([1.0, 2.0, 0.5])
    told(balancer, initial, now)
    before = torch.tensor([0.5, 0.8, 1.7])
    balancer.factors.copy_(before)
    gradient, _ = gradient_by_the_paper(model, x, before, initial, alpha)
    norms = [torch.autograd.grad(value, model.shared, retain_graph=True)[0].norm() for value in model.terms(x).values()]
    weighted = before * torch.stack(norms)
    ratio = now / initial
    target = weighted.mean() * (ratio / ratio.mean()) ** alpha
    moved = before * torch.exp(-0.1 * ((weighted - target) / target).clamp(-1, 1))
    step(balancer, model, x)
    after = torch.tensor(list(balancer.weights.values()))
    torch.testing.assert_close(after, moved * 3 / moved.sum(), rtol=1e-4, atol=1e-6)
    assert torch.equal((moved - before).sign(), -gradient.sign())
    assert float(after.sum()) == pytest.approx(3.0)


def test_one_step_by_hand():
    # L_a = 3 w, L_b = w at w = 1: G = (3, 1), their mean 2, both rates 1, so both targets are 2.
    # (G - target) / target = (1/2, -1/2): weights times exp(-0.05) and exp(0.05), then scaled to a sum of 2.
    shared = nn.Parameter(torch.ones(1, 1))
    balancer = build("gradnorm", ("a", "b"), {"lr": 0.1})
    balancer.backward({"a": 3 * shared.sum(), "b": shared.sum()}, [shared], step=0)
    up, down = math.exp(0.05), math.exp(-0.05)
    assert balancer.weights == pytest.approx({"a": 2 * down / (up + down), "b": 2 * up / (up + down)})
    assert shared.grad.item() == pytest.approx(4.0)  # the weights of before this step


@pytest.mark.parametrize("norm", [2.0, 20.0, 100.0])
def test_weights_settle_where_norms_are_equal_however_far_apart_they_are(norm):
    shared = nn.Parameter(torch.ones(1, 1))
    balancer = build("gradnorm", ("a", "b", "c"))
    seen = []
    for number in range(800):
        terms = {"a": norm * shared.sum(), "b": shared.sum() * 1.0, "c": shared.sum() * 1.0}
        balancer.backward(terms, [shared], step=number)
        seen.append(balancer.weights["a"])
    right = 3 / (1 + 2 * norm)  # w_a norm = w_b = w_c, and they sum to 3
    assert seen[-1] == pytest.approx(right, rel=0.02)
    assert max(seen[-100:]) - min(seen[-100:]) < 0.02 * right


def test_the_first_loss_is_a_mean_of_looks_and_rates_count_only_then():
    shared = nn.Parameter(torch.ones(1, 1))
    balancer = build("gradnorm", ("a", "b"), {"alpha": 1.0})
    losses = [0.01, *[1.0] * (LOOKS - 1)]  # a rare term: nothing in its first batch
    for number, loss in enumerate(losses):
        balancer.backward({"a": loss * shared.sum(), "b": shared.sum() * 1.0}, [shared], step=number)
    assert balancer.initial.tolist() == pytest.approx([sum(losses) / LOOKS, 1.0])
    assert balancer.seen.tolist() == [LOOKS, LOOKS]
    weighted = torch.tensor([1.0, 1.0])
    balancer.seen.fill_(LOOKS - 1)
    assert balancer.targets(weighted, torch.tensor([True, True])).tolist() == [1.0, 1.0]
    balancer.seen.fill_(LOOKS)
    balancer.recent.copy_(balancer.initial * torch.tensor([3.0, 1.0]))
    assert balancer.targets(weighted, torch.tensor([True, True])).tolist() == pytest.approx([1.5, 0.5])


def weights_after(alpha, fast):
    """Weights after 60 batches in which task `slow` stays as it is and `fast` goes its way."""
    own, other, shared = (nn.Parameter(torch.ones(1, 4)) for _ in range(3))
    balancer = build("gradnorm", ("slow", "fast"), {"lr": 0.05, "alpha": alpha})
    for number in range(60):
        terms = {"slow": (shared * own).sum(), "fast": fast((shared * other).sum(), 0.96**number)}
        balancer.backward(terms, [own, other, shared], step=number)
    return balancer.weights


def test_with_alpha_0_a_smaller_gradient_gets_more_weight():
    weights = weights_after(0.0, lambda loss, factor: loss * factor)
    assert weights["fast"] > weights["slow"]


def test_with_equal_gradients_the_task_that_learns_more_slowly_gets_more_weight():
    weights = weights_after(1.5, lambda loss, factor: loss + 4 * (factor - 1))
    assert weights["slow"] > weights["fast"]


def test_a_term_without_rows_keeps_out_of_every_mean():
    torch.manual_seed(0)
    model, x = TwoTasks(), torch.randn(16, 4)
    both = build("gradnorm", ("a", "b", "c"), {"lr": 0.1})
    terms = model.terms(x)
    step(both, model, x, {**terms, "c": terms["c"] * 0.0})
    pair = build("gradnorm", ("a", "b"), {"lr": 0.1})
    step(pair, model, x, {name: one for name, one in model.terms(x).items() if name != "c"})
    ours, theirs = both.weights, pair.weights
    assert ours["a"] / ours["b"] == pytest.approx(theirs["a"] / theirs["b"], rel=1e-5)
    assert both.seen.tolist() == [1, 1, 0]
    assert all(torch.isfinite(one.grad).all() for one in model.parameters() if one.grad is not None)


def test_it_balances_at_the_last_shared_matrix():
    torch.manual_seed(0)
    model = TwoTasks()
    balancer = build("gradnorm", ("a", "b", "c"))
    step(balancer, model, torch.randn(8, 4))
    assert list(model.parameters())[int(balancer.layer)] is model.shared


def test_terms_that_share_nothing_are_refused():
    a, b = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    balancer = build("gradnorm", ("a", "b"))
    with pytest.raises(ConfigError, match=r"no two of the terms a, b share a weight matrix.*balancer = 'fixed'"):
        balancer.backward({"a": a.sum(), "b": b.sum()}, [a, b], step=0)


def test_between_two_looks_the_weights_stay_and_still_count():
    shared = nn.Parameter(torch.ones(1, 1))
    balancer = build("gradnorm", ("a", "b"), {"lr": 0.1, "every": 2})
    told = []
    for number in range(4):
        shared.grad = None
        before = dict(balancer.weights)
        balancer.backward({"a": 3 * shared.sum(), "b": shared.sum()}, [shared], step=number)
        assert shared.grad.item() == pytest.approx(3 * before["a"] + before["b"])
        told.append(balancer.weights["a"])
    assert told[0] == told[1] < 1.0  # moved at step 0, not at step 1
    assert told[2] == told[3] < told[1]
