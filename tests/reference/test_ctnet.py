import torch

from polyrec import models
from polyrec.testing import example_layout, random_batch


def test_ctnet_adds_the_gated_states_of_its_source_layer_by_layer():
    layout = example_layout()
    torch.manual_seed(0)
    model = models.build("ctnet", layout, ("click",), {"widths": (6, 4), "tower_widths": (), "dim": 3}).double().eval()
    batch = random_batch(layout, 7, seed=2)
    batch = batch.map(lambda one: one.double() if one.is_floating_point() else one)
    with torch.no_grad():
        found = model(batch)
        own, told = model.inputs(batch), model.source.inputs(batch)
        for place in range(2):
            mine, theirs = model.bottom.layers[2 * place], model.source.bottom.layers[2 * place]
            own = torch.clamp(own @ mine.weight.T + mine.bias, min=0)
            told = torch.clamp(told @ theirs.weight.T + theirs.bias, min=0)
            both = told @ model.adapters[place].weight.T + model.adapters[place].bias
            width = both.shape[1] // 2
            own = own + both[:, :width] / (1 + torch.exp(-both[:, width:]))
    assert torch.allclose(found.hidden["bottom"], own, atol=1e-12)


def test_without_a_source_it_is_pooled():
    layout, options = example_layout(), {"widths": (6, 4), "tower_widths": (3,), "dim": 3}
    one = models.build("ctnet", layout, ("click",), {**options, "source": False})
    other = models.build("pooled", layout, ("click",), options)
    other.load_state_dict(one.state_dict())
    batch = random_batch(layout, 9, seed=1)
    assert torch.equal(one.eval()(batch).logits["click"], other.eval()(batch).logits["click"])
