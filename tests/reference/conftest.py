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


# Tables of width T, for a linear part: every feature has rows of its own, in the layout's order.
ALONE = {"user": 0, "item": 23, "brand": 54, "hour": 65, "history": 91, "tags": 122}


def linear_row(state, name, batch, row):
    """`sum_f w_tf[id_f] + z u_t + b_t` of one row, for both heads, from the weights of `name`."""
    table = state[f"{name}.inputs.embedding.tables.2.weight"]
    total = state[f"{name}.bias"] + scenario_row(state, int(batch.scenario[row]), f"{name}.inputs.scenario")
    for feature, value in zip(("user", "item", "brand", "hour"), batch.ids[row].tolist(), strict=True):
        total = total + table[ALONE[feature] + value]
    for feature in ("history", "tags"):
        one = batch.sequences[feature]
        values = one.values[one.offsets[row] : one.offsets[row + 1]].tolist()
        total = total + sum((table[ALONE[feature] + value] for value in values), np.zeros(2)) / max(len(values), 1)
    numbers = np.concatenate([batch.numerics[row].numpy(), batch.vectors["image"][row].numpy()])
    return total + state[f"{name}.numbers.weight"] @ numbers


def field_rows(state, x):
    """The eleven features of a row x, as `x_row` gives it, as vectors of 16; brand, numbers and image mapped."""
    brand, numbers, image = (state[f"fields.maps.{place}"] for place in range(3))
    found = [x[0:16], x[16:32], x[32:48], x[48:53] @ brand[0], x[53:69], x[69:85]]
    found += [x[85 + place] * numbers[place, 0] for place in range(3)]
    return np.stack([*found, x[88:94] @ image[0], x[94:110]])


def scenario_row(state, place, name="inputs.scenario"):
    table = state[name]
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
        linear_row=linear_row,
        field_rows=field_rows,
        scenarios_of=scenarios_of,
        case=case,
        agree=agree,
        heads=HEADS,
        scenarios=SCENARIOS,
    )
