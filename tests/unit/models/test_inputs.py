import pytest
import torch

from polyrec.batch import Field, Layout, Number
from polyrec.errors import ConfigError
from polyrec.models.inputs import InputOptions, Inputs
from polyrec.nn.table import Table
from polyrec.schema import Task
from polyrec.testing import example_layout, random_batch

TASKS = (Task("click", "c"),)


@pytest.mark.parametrize("numeric", ["plain", "piecewise"])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_width_is_what_comes_out(numeric, rows):
    layout = example_layout()
    inputs = Inputs(layout, InputOptions(dim=4, numeric=numeric, bins=3))
    assert inputs(random_batch(layout, rows)).shape == (rows, inputs.width)


def test_piecewise_curves_only_numbers_known_to_lie_in_the_unit_interval():
    layout = example_layout()
    plain, curved = (Inputs(layout, InputOptions(dim=4, numeric=one)) for one in ("plain", "piecewise"))
    assert curved.width - plain.width == 2 * (4 - 1)  # age and its null flag; price stays a number
    assert plain.piecewise is None
    batch = random_batch(layout, 3)
    (price,) = curved.columns(names=["price"])
    assert torch.equal(curved(batch)[:, price], batch.numerics[:, 0])


def test_columns_find_features_by_name_and_side():
    layout = example_layout()
    inputs = Inputs(layout, InputOptions(dim=4))
    batch = random_batch(layout, 6, seed=1)
    x = inputs(batch)
    table = inputs.embedding.tables["4"].weight
    assert torch.equal(x[:, inputs.columns(names=["item"])], table[23 + batch.ids[:, 1].long()])
    assert torch.equal(x[:, inputs.columns(names=["scenario"])], inputs.scenario[batch.scenario])
    assert torch.equal(x[:, inputs.columns(names=["image"])], batch.vectors["image"])
    everything = inputs.columns(sides=["user", "item", "context"], names=["scenario"])
    assert everything == list(range(inputs.width))


def test_an_unknown_column_is_refused_by_name():
    inputs = Inputs(example_layout(), InputOptions())
    with pytest.raises(ConfigError, match=r"feature 'itme' is not among the model's inputs.*Did you mean 'item'"):
        inputs.columns(names=["itme"])


def test_a_layout_without_features_is_refused():
    with pytest.raises(ConfigError, match="nothing to read"):
        Inputs(Layout(("a",), TASKS), InputOptions())


def test_an_order_moves_every_part_of_the_rows():
    layout = example_layout()
    inputs = Inputs(layout, InputOptions(dim=4, numeric="piecewise"))
    batch = random_batch(layout, 9, unknown=0.2)
    order = torch.randperm(9)
    torch.testing.assert_close(inputs(batch, order), inputs(batch)[order])


def test_rows_may_enter_several_times_under_different_copies():
    layout = example_layout(2)
    inputs = Inputs(layout, InputOptions(dim=4, numeric="piecewise"), scenario=False, copies=2)
    batch = random_batch(layout, 5)
    rows, copy = torch.tensor([0, 3, 3, 0]), torch.tensor([0, 0, 1, 1])
    found = inputs(batch, rows, copy)
    for place in range(2):
        alone = inputs(batch, None, torch.full((5,), place))
        torch.testing.assert_close(found[copy == place], alone[rows[copy == place]])


def test_tables_have_sparse_gradients_unless_dense_is_asked_for():
    layout = example_layout()
    for tables, sparse in (("sparse", True), ("dense", False)):
        inputs = Inputs(layout, InputOptions(dim=4, tables=tables))
        inputs(random_batch(layout, 8)).sum().backward()
        held = [one for one in inputs.modules() if isinstance(one, Table)]
        assert [one.weight.grad.is_sparse for one in held] == [sparse] * 2


@pytest.mark.parametrize(
    "layout",
    [
        Layout(("a",), TASKS, numeric=(Number("n"),)),
        Layout(("a",), TASKS, sequences=(Field("s", 4),)),
        Layout(("a",), TASKS, vectors=(Number("v", size=3),)),
        Layout(("a",), TASKS, categorical=(Field("c", 4),)),
    ],
    ids=["numeric", "sequence", "vector", "categorical"],
)
@pytest.mark.parametrize("scenario", [True, False])
def test_one_kind_of_feature_is_enough(layout, scenario):
    inputs = Inputs(layout, InputOptions(dim=4, numeric="piecewise"), scenario=scenario)
    assert inputs(random_batch(layout, 3)).shape == (3, inputs.width)
