"""A tiny case, and the rows that its models read, worked out number by number from the state alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from polyrec.models import build
from polyrec.testing import Subject, example_layout, random_batch

HEADS = ("click", "buy")
SCENARIOS = 3
# Where each feature's rows start, by hand: fields of width 16 are user (23 rows), item (31), hour (26), tags (13);
# history reads item's rows; brand (11 rows) is alone at width 5.
START = {"user": 0, "item": 23, "hour": 54, "tags": 80, "history": 23, "brand": 0}
ROWS = {"16": 93, "5": 11}


def relu(x):
    return np.maximum(x, 0.0)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def mlp(state, name, x, pick=lambda one: one, linear_end=False):
    """x through `name.layers.{0, 1, ...}`, weights [.., I, O] after `pick`."""
    place = 0
    while f"{name}.layers.{place}.weight" in state:
        x = x @ pick(state[f"{name}.layers.{place}.weight"]) + pick(state[f"{name}.layers.{place}.bias"])
        place += 1
        if not (linear_end and f"{name}.layers.{place}.weight" not in state):
            x = relu(x)
    return x


def torch_mlp(state, name, x):
    """x through a sequence of linear layers (weights [O, I]), relu after each."""
    places = sorted(int(key.split(".")[-2]) for key in state if key.startswith(f"{name}.layers.") and "weight" in key)
    for place in places:
        x = relu(state[f"{name}.layers.{place}.weight"] @ x + state[f"{name}.layers.{place}.bias"])
    return x


def x_row(state, batch, row, *, scenario=True, copy=0):
    """[user, item, hour, brand, mean history, mean tags, price, age, age?, image, scenario] of one row."""

    def read(name, value, width="16"):
        return state[f"inputs.embedding.tables.{width}.weight"][copy * ROWS[width] + START[name] + int(value)]

    def mean(name):
        one = batch.sequences[name]
        values = one.values[one.offsets[row] : one.offsets[row + 1]].tolist()
        return sum((read(name, value) for value in values), np.zeros(16)) / max(len(values), 1)

    user, item, brand, hour = batch.ids[row].tolist()
    parts = [read("user", user), read("item", item), read("hour", hour), read("brand", brand, "5")]
    parts += [mean("history"), mean("tags"), batch.numerics[row].numpy(), batch.vectors["image"][row].numpy()]
    if scenario:
        parts.append(scenario_row(state, int(batch.scenario[row])))
    return np.concatenate(parts)


def scenario_row(state, place):
    table = state["inputs.scenario"]
    return table.mean(0) if place < 0 else table[place]


def scenarios_of(batch, row):
    place = int(batch.scenario[row])
    return range(SCENARIOS) if place < 0 else [place]


def case(name, **options):
    """A model that looks trained, in float64, scoring; its state as numpy; 9 rows, some of unknown scenario."""
    layout = example_layout(SCENARIOS)
    subject = Subject(name, lambda layout, heads: build(name, layout, heads, options))
    model = subject.stirred(layout, seed=3).double()
    batch = random_batch(layout, 9, seed=8, unknown=0.3).map(
        lambda one: one.double() if one.is_floating_point() else one
    )
    assert {-1, 0, 1, 2} == set(batch.scenario.tolist())
    with torch.no_grad():
        output = model(batch)
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    return SimpleNamespace(model=model, batch=batch, state=state, output=output)


def agree(found, logit):
    """The model's logits equal `logit(row, head place)`."""
    for place, head in enumerate(HEADS):
        expected = [logit(row, place) for row in range(len(found.batch))]
        np.testing.assert_allclose(found.output.logits[head].numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.fixture
def paper():
    """The pieces above, by name."""
    return SimpleNamespace(
        relu=relu,
        sigmoid=sigmoid,
        softmax=softmax,
        mlp=mlp,
        torch_mlp=torch_mlp,
        x_row=x_row,
        scenario_row=scenario_row,
        scenarios_of=scenarios_of,
        case=case,
        agree=agree,
        heads=HEADS,
        scenarios=SCENARIOS,
    )
