"""Two towers against matrix products by hand; a copy a scenario begins as one for all."""

import torch
from torch.nn import functional

from polyrec import models
from polyrec.testing import example_layout, random_batch


def by_hand(tower, x, scenario):
    h = x
    for place, layer in enumerate(tower.layers):
        h = torch.einsum("bi,bio->bo", h, layer.weight[scenario, 0]) + layer.bias[scenario, 0]
        h = torch.relu(h) if place < len(tower.layers) - 1 else h
    return functional.normalize(h, dim=1)


def test_vectors_and_logits_are_those_of_the_formula():
    layout, batch = example_layout(), random_batch(example_layout(), 9)
    torch.manual_seed(0)
    model = models.build("two_tower", layout, ("click", "buy"), {"widths": [7], "vector": 5}).eval()
    x, zero = model.inputs(batch), torch.zeros(9, dtype=torch.int64)
    user = by_hand(model.users, x[:, model.inputs.columns(sides=("user", "context"), names=("scenario",))], zero)
    item = by_hand(model.items, x[:, model.inputs.columns(sides=("item",), names=("scenario",))], zero)
    output = model(batch)
    assert torch.allclose(output.hidden["user"], user, atol=1e-6)
    assert torch.allclose(output.hidden["item"], item, atol=1e-6)
    with torch.no_grad():
        model.ends.scale.copy_(torch.tensor([2.0, 3.0]))
        model.ends.bias.copy_(torch.tensor([0.5, -1.0]))
    output = model(batch)
    assert torch.allclose(output.logits["click"], 2 * (user * item).sum(1) + 0.5, atol=1e-5)
    assert torch.allclose(output.logits["buy"], 3 * (user * item).sum(1) - 1.0, atol=1e-5)


def test_own_networks_that_adopt_one_for_all_answer_alike_and_part_ways():
    layout, batch = example_layout(), random_batch(example_layout(), 40)
    torch.manual_seed(0)
    one = models.build("two_tower", layout, ("click",), {"scenario": "ignored"}).eval()
    own = models.build("two_tower", layout, ("click",), {"scenario": "own"}).eval()
    own.load_state_dict(own.adopt(one.state_dict()))
    assert torch.allclose(own.user(batch), one.user(batch), atol=1e-6)
    assert torch.allclose(own.item(batch), one.item(batch), atol=1e-6)
    mine = batch.select(torch.nonzero(batch.scenario == 1)[:, 0])
    own.user(mine)[:, 0].sum().backward()
    gradient = own.users.layers[0].weight.grad
    assert bool((gradient[1] != 0).any())
    assert not bool((gradient[[0, 2]] != 0).any())


def test_a_side_without_features_is_refused_where_nothing_else_can_be_read():
    import pytest

    from polyrec.batch import Field, Layout
    from polyrec.errors import ConfigError
    from polyrec.schema import Task

    layout = Layout(("a", "b"), (Task("click", "c"),), (Field("item", 9, "item"),))
    with pytest.raises(ConfigError, match="no feature has side = 'user': a user tower would have nothing to read"):
        models.build("two_tower", layout, ("click",), {"scenario": "own"})
    assert models.build("two_tower", layout, ("click",)).sides.user.tolist() == list(range(16, 32))
