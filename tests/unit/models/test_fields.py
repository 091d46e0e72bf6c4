import pytest
import torch

from polyrec.batch import Field, Layout, Number
from polyrec.models import build
from polyrec.models.fields import Fields, Linear
from polyrec.models.inputs import InputOptions, Inputs
from polyrec.schema import Task
from polyrec.testing import example_layout, random_batch

TASKS = (Task("click", "c"), Task("buy", "b", after="click"))


@pytest.mark.parametrize("name", ["widedeep", "deepfm", "xdeepfm", "dcn"])
@pytest.mark.parametrize(
    "layout",
    [
        Layout(("a", "b"), TASKS, numeric=(Number("price"), Number("age"))),
        Layout(("a", "b"), TASKS, categorical=(Field("item", 9, dim=5),)),
        Layout(("a", "b"), TASKS, sequences=(Field("history", 9, max_length=4),)),
        Layout(("a", "b"), TASKS, vectors=(Number("image", size=3),)),
    ],
    ids=["numbers", "ids", "sequences", "vectors"],
)
def test_rows_of_one_kind_of_feature_are_scored_and_learned_from(name, layout):
    model = build(name, layout, ("click", "buy"))
    logits = torch.stack(list(model(random_batch(layout, 6, unknown=0.3)).logits.values()))
    logits.sum().backward()
    assert logits.shape == (2, 6)
    assert torch.isfinite(logits).all()
    assert all(one.grad is not None for one in model.parameters())


@pytest.mark.parametrize(
    "options", [InputOptions(dim=4), InputOptions(dim=4, numeric="piecewise"), InputOptions(dim=1)]
)
def test_what_is_an_embedding_stands_as_it_is_and_what_is_a_number_is_mapped(options):
    inputs = Inputs(example_layout(), options)
    x = inputs(random_batch(inputs.layout, 5))
    fields = Fields(inputs, options.dim)
    found, start, maps = fields(x), 0, 0
    for place, (name, width) in enumerate(inputs.parts):
        part, start = x[:, start : start + width], start + width
        numbers = {"price", "image"} | ({"age", "age?"} if options.numeric == "plain" else set())
        if name in numbers or name == "brand":
            maps += 1
            assert not torch.equal(found[:, place], part)
        else:
            assert torch.equal(found[:, place], part)
    assert sum(one.shape[0] for one in fields.maps) == maps
    assert start == x.shape[1]


def test_features_that_share_a_table_have_weights_of_their_own_in_the_linear_part():
    layout = example_layout()
    linear = Linear(layout, InputOptions(tables="dense"), heads=2)
    batch = random_batch(layout, 40)
    linear(batch).sum().backward()
    table = linear.inputs.embedding.tables["2"].weight
    assert table.shape[0] == sum(one.size for one in (*layout.categorical, *layout.sequences))
    assert table.grad[91 : 91 + 31].any()  # history's own, though it shares item's embeddings
