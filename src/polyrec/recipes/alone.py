"""One scenario of a trained model on its own, its low-rank units merged into dense weights where that is the same."""

from dataclasses import replace

import pyarrow as pa
import torch

from polyrec.artifact import Bundle
from polyrec.errors import ConfigError, unknown
from polyrec.models.autoifs import AutoIFS
from polyrec.recipes.adapters import merged, only
from polyrec.shapes import Tensor


def alone(bundle: Bundle, scenario: str) -> Bundle:
    """A bundle for one scenario of a model of `autoifs`: the same scores on its rows, without the others' weights.

    Where every head keeps every flow, which is so without selection and for an added scenario, flows add up to one
    path through sums of units, so that `W + A_s B_s` takes the place of a layer and its adapter, and gates fall away.
    Where a flow is pruned, or units are fused by themselves (`select`), shared and own units stay apart.

    Args:
        bundle: of several scenarios.
        scenario: the one to keep.

    Raises:
        ConfigError: no such scenario, or a model without adapters.

    Example:
        ```python
        small = alone(Bundle.load("runs/autoifs/bundle"), "mini")
        print(is_merged(small), small.manifest.parameters)
        ```
    """
    names = bundle.encoder.layout.scenarios
    if scenario not in names:
        raise ConfigError(unknown("scenario", scenario, names, "in the bundle"))
    rest = only(bundle, (scenario,))
    return _dense(rest) if _keeps_all(rest) else rest


def is_merged(bundle: Bundle) -> bool:
    """Whether a model of `autoifs` has no low-rank unit of a scenario left."""
    return isinstance(bundle.model, AutoIFS) and bundle.model.adapters == 0


def golden_of(rows: pa.Table, key: str, scenario: str) -> pa.Table:
    """Golden rows as rows of one scenario."""
    place = rows.column_names.index(key)
    return rows.set_column(place, key, pa.array([scenario] * len(rows), pa.string()))


def _keeps_all(bundle: Bundle) -> bool:
    model = bundle.model
    assert isinstance(model, AutoIFS)
    if not model.adapters or model.config.fusion == "select":
        return False
    if model.selector is None:
        return True
    if model.selector.by_row or model.config.gates != "hard":
        return False
    weight = model.selector.network.weight
    assert isinstance(weight, Tensor)
    return not bool(model.selector.gate(weight[0]).any())  # [T, J]


def _dense(bundle: Bundle) -> Bundle:
    """The same function of one scenario's rows: no adapters, no gates, and layers that have the adapters in them.

    With every flow kept the increments add up to the head's units on `relu(W + A B)`, which is what the flow through
    shared scenario units and both task units gives once the scenario units are the sums.
    """
    old = bundle.model
    assert isinstance(old, AutoIFS)
    layers = merged(old, 0)
    part = bundle.manifest.model
    options = {**part.options, "adapters": [], "gates": "open", "fusion": "increment", "price": 0.0}
    changed = replace(bundle, manifest=replace(bundle.manifest, model=replace(part, options=options)))
    made = only(changed, bundle.encoder.layout.scenarios, options)
    state = made.model.state_dict()
    for name, one in old.state_dict().items():
        if name in state and state[name].shape == one.shape:
            state[name] = one
    for place, (weight, bias) in enumerate(layers):
        state[f"scenario.shared.{place}.weight"], state[f"scenario.shared.{place}.bias"] = weight, bias
    if old.bias is None:
        state["bias"] = torch.zeros_like(state["bias"])
    made.model.load_state_dict(state)
    return made
