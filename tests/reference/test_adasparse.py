"""Yang et al. 2022: factors of each layer's neurons, those below a threshold cut to 0."""

import numpy as np
import pytest
import torch

from polyrec.errors import ConfigError
from polyrec.models import build
from polyrec.testing import example_layout, random_batch
from polyrec.training.pace import Paced


def test_adasparse_prunes_and_scales_the_inputs_of_each_layer(paper):
    found = paper.case("adasparse", widths=(12, 7), tower_widths=(5,), pruner_width=6, epsilon=0.9, start=0.2)
    assert float(found.model.alpha) == pytest.approx(0.2)
    found.model.pace(1.5, 2)  # alpha = 0.2 + 4.8 * 3/4
    with torch.no_grad():
        found.output = found.model(found.batch)
    state, cut = found.state, []

    def affine(name, x):
        return state[f"{name}.weight"] @ x + state[f"{name}.bias"]

    def logit(row, head):
        h = paper.x_row(state, found.batch, row)
        scenario = paper.scenario_row(state, int(found.batch.scenario[row]))
        for layer in range(2):
            hidden = paper.relu(affine(f"pruners.{layer}.first", np.concatenate([scenario, h])))
            factor = 2 * paper.sigmoid(3.8 * affine(f"pruners.{layer}.last", hidden))
            cut.append(np.mean(factor <= 0.9))
            h = paper.relu(affine(f"layers.{layer}", h * np.where(factor > 0.9, factor, 0.0)))
        return paper.mlp(state, "towers.network", h, lambda one: one[head], linear_end=True)[0]

    paper.agree(found, logit)
    assert 0.0 < np.mean(cut) < 1.0  # some neurons were cut and some kept


def test_the_penalty_draws_each_layers_sparsity_into_its_bounds():
    layout = example_layout()
    torch.manual_seed(0)
    given = {"widths": (12, 7), "low": 0.02, "high": 0.03, "price": 3.0, "start": 1.0}
    model = build("adasparse", layout, ("click", "buy"), given)
    assert isinstance(model, Paced)
    model.train().pace(1.0, 2)  # alpha = 3
    batch, seen = random_batch(layout, 40, seed=1), []
    for one in model.pruners:
        one.register_forward_hook(lambda _, __, factor: seen.append(factor))
    penalty = model(batch).penalties["sparsity"]
    rate = [1 - float(torch.where(one > 0.25, one, 0.0).mean().detach()) for one in seen]
    gaps = [abs(one - 0.025) * (one < 0.02 or one > 0.03) for one in rate]
    assert max(gaps) > 0
    assert float(penalty.detach()) == pytest.approx(3.0 * 3.0 * np.mean(np.square(gaps)), rel=1e-4)
    (slope,) = torch.autograd.grad(penalty, [seen[-1]], retain_graph=True)
    sign = np.sign(0.025 - rate[-1]) * 3.0 * 3.0 * gaps[-1] / (len(rate) * seen[-1].numel())
    expected = torch.where(seen[-1] > 0.25, sign, 0.0)
    torch.testing.assert_close(slope, expected.detach().to(slope.dtype))


def test_alpha_below_one_does_not_lower_the_price():
    layout = example_layout()
    torch.manual_seed(0)
    given = {"price": 3.0, "low": 0.5, "high": 0.5, "peak": 5.0}
    model, batch = build("adasparse", layout, ("click",), given).train(), random_batch(layout, 40)
    seen = []
    for one in model.pruners:
        one.register_forward_hook(lambda _, __, factor: seen.append(factor.detach()))
    penalty = model(batch).penalties["sparsity"]  # alpha = 0.1
    assert max(float((one - 1).abs().max()) for one in seen) < 0.2  # all factors are near 1 at the start
    gaps = [0.5 - (1 - float(one.mean())) for one in seen]
    assert float(penalty.detach()) == pytest.approx(3.0 * np.mean(np.square(gaps)), rel=1e-4)


def test_within_its_bounds_or_without_rows_nothing_is_due():
    layout = example_layout()
    model = build("adasparse", layout, ("click",), {"low": 0.0, "high": 0.99, "epsilon": 0.999}).train()
    assert float(model(random_batch(layout, 40)).penalties["sparsity"].detach()) == 0.0
    assert not model(random_batch(layout, 0)).penalties
    assert not model.eval()(random_batch(layout, 40)).penalties
    assert not build("adasparse", layout, ("click",), {"price": 0.0}).train()(random_batch(layout, 40)).penalties


def test_bounds_the_wrong_way_round_are_refused():
    with pytest.raises(ConfigError, match=r"low = 0.5 is above high = 0.25"):
        build("adasparse", example_layout(), ("click",), {"low": 0.5})
