"""Scenarios of a trained model as parts that come and go: list, compare, add, remove, and merge into dense weights.

A scenario owns the rows at its place of every parameter whose first dimension counts the scenarios: its adapters, its
embedding, its gates. Whatever is added or removed, the rows of the others stay the very same numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from polyrec import models, objectives
from polyrec.artifact import Bundle
from polyrec.artifact.manifest import Part
from polyrec.data.encode import Encoder
from polyrec.errors import ConfigError, unknown
from polyrec.models.autoifs import AutoIFS
from polyrec.nn.flows import FLOWS
from polyrec.nn.lora import LoRA
from polyrec.nn.sharded import parameter_count
from polyrec.shapes import Float, Tensor

FirstRow = Callable[[str, Float[Tensor, "S *any"], Float[Tensor, "*any"]], Float[Tensor, "*any"]]


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a scenario owns in a model: how many numbers, and how far its units are from nothing."""

    scenario: str
    parameters: int
    norm: float  # of all its low-rank products A B and their biases; 0: it adds nothing

    def __str__(self) -> str:
        return f"{self.scenario}: {self.parameters:,} parameters, norm {self.norm:.3g}"


def adapters(bundle: Bundle) -> tuple[Adapter, ...]:
    """Every scenario that has units of its own.

    Raises:
        ConfigError: a model without adapters.
    """
    model, found = _model(bundle), []
    places = model.adapter.tolist()
    for name, place in zip(bundle.encoder.layout.scenarios, places, strict=True):
        if place < 0:
            continue
        units = [one for one in model.scenario.own if isinstance(one, LoRA)]
        count = sum(part[place].numel() for one in units for part in (one.down, one.up, one.bias))
        total = sum(float(part.detach().square().sum()) for one in units for part in one.product(place))
        found.append(Adapter(name, count, total**0.5))
    return tuple(found)


def difference(one: Bundle, other: Bundle) -> dict[str, str]:
    """How `other` differs from `one`, by scenario: "added", "removed", or "changed by" the largest difference.

    Scenarios that are the same bit by bit are left out; under `"*"` stands what all scenarios share, if it differs.
    """
    mine, theirs = (_owned(bundle) for bundle in (one, other))
    found = {}
    for name in (*mine, *(name for name in theirs if name not in mine)):
        if name not in theirs:
            found[name] = "removed"
        elif name not in mine:
            found[name] = "added"
        else:
            apart = _apart(mine[name], theirs[name])
            if apart != 0.0:
                found[name] = "of another shape" if apart is None else f"changed by {apart:.3g}"
    return found


def without(bundle: Bundle, scenario: str) -> Bundle:
    """The bundle without a scenario; all others score as before, bit by bit. Its rows are then of no known scenario.

    Raises:
        ConfigError: no such scenario, or the only one.
    """
    names = bundle.encoder.layout.scenarios
    if scenario not in names:
        raise ConfigError(unknown("scenario", scenario, names, "in the bundle"))
    if len(names) == 1:
        raise ConfigError(f"scenario {scenario!r} is the only one: nothing would be left. Keep it.")
    return only(bundle, tuple(name for name in names if name != scenario))


def only(bundle: Bundle, kept: tuple[str, ...], options: Mapping[str, Any] | None = None) -> Bundle:
    """The bundle with these of its scenarios; they score as before, bit by bit.

    Args:
        bundle: of a model with adapters.
        kept: of its scenarios, in their order there.
        options: of the model, where other than before; what then has another shape starts as built.
    """
    names, model = bundle.encoder.layout.scenarios, _model(bundle)
    places = torch.tensor([names.index(name) for name in kept])
    mine = [int(model.adapter[at]) for at in places.tolist()]
    own = torch.tensor([at for at in mine if at >= 0], dtype=torch.long)

    def state(name: str, old: Tensor, new: Tensor) -> Tensor:
        if not len(old):
            return new
        found = old[own if name.startswith("scenario.own.") else places]
        return found if found.shape == new.shape else new

    return _rebuilt(bundle, kept, state, plain=options)


def with_scenario(bundle: Bundle, scenario: str, first: FirstRow) -> Bundle:
    """The bundle with one more scenario, at the last place; all others score as before, bit by bit.

    Args:
        bundle: of a model with adapters.
        scenario: its name.
        first: what the scenario starts with, by a parameter's name, the rows of all others, and one as built.

    Raises:
        ConfigError: the scenario is there already.
    """
    names = bundle.encoder.layout.scenarios
    if scenario in names:
        known = ", ".join(names)
        raise ConfigError(f"scenario {scenario!r} is in the bundle already. Known: {known}. Choose another name.")

    def state(name: str, old: Tensor, new: Tensor) -> Tensor:
        return torch.cat([old, first(name, old, new[-1])[None]])

    return _rebuilt(bundle, (*names, scenario), state)


def without_idle(bundle: Bundle) -> Bundle:
    """The bundle without the adapters of scenarios that prune both of their own flows for every head: a smaller
    model with the very same scores. Gates must be hard and by scenario, and pruned flows must be left out (`select`,
    `increment`); any other bundle is given back as it is.
    """
    model = bundle.model
    if not isinstance(model, AutoIFS) or model.selector is None or model.selector.by_row:
        return bundle
    if model.config.gates != "hard" or model.config.fusion == "subtract":
        return bundle
    weight = model.selector.network.weight
    assert isinstance(weight, Tensor)
    idle = (weight[..., [not flow.startswith("shared") for flow in FLOWS]] > 0).all(2).all(1)  # [S]
    names = bundle.encoder.layout.scenarios
    busy = [name for name, place, out in zip(names, model.adapter.tolist(), idle.tolist(), strict=True)
            if place >= 0 and not out]  # fmt: skip
    if len(busy) == model.adapters:
        return bundle
    own = torch.tensor([int(model.adapter[names.index(name)]) for name in busy], dtype=torch.long)
    return _rebuilt(bundle, names, lambda _, old, __: old[own], busy)


def merged(model: AutoIFS, scenario: int) -> list[tuple[Float[Tensor, "O I"], Float[Tensor, "O"]]]:
    """Weight and bias of each scenario layer with a scenario's adapter added in: `W + (A B)^T`, `b + b_s`.

    With them one dense layer does what the shared and the own unit do together.
    """
    place, found = int(model.adapter[scenario]), []
    for layer, own in zip(model.scenario.shared, model.scenario.own, strict=True):
        assert isinstance(layer, nn.Linear)
        assert isinstance(own, LoRA)
        product, bias = own.product(place) if place >= 0 else (torch.zeros(()), torch.zeros(()))
        found.append(((layer.weight + product.T).detach(), (layer.bias + bias).detach()))
    return found


def _model(bundle: Bundle) -> AutoIFS:
    if not isinstance(bundle.model, AutoIFS):
        raise ConfigError(
            f"model {bundle.manifest.model.name!r} has no adapters by scenario. Train a recipe on model 'autoifs'."
        )
    return bundle.model


def _rebuilt(
    bundle: Bundle,
    names: tuple[str, ...],
    rows: Callable[[str, Tensor, Tensor], Tensor],
    adapted: list[str] | None = None,
    plain: Mapping[str, Any] | None = None,
) -> Bundle:
    """The same model for other scenarios; `rows` makes each state whose first dimension counts them."""
    old, part = _model(bundle), bundle.manifest.model
    options = dict(part.options if plain is None else plain)
    if adapted is not None:
        options["adapters"] = adapted
    elif plain is None and options.get("adapters") is not None:
        had = set(bundle.encoder.layout.scenarios)
        options["adapters"] = [name for name in names if name in options["adapters"] or name not in had]
    vocabulary = replace(bundle.encoder.vocabulary, scenarios=names)
    schema = bundle.schema.with_scenarios(names)
    encoder = Encoder(schema, vocabulary)
    objective = objectives.build(bundle.manifest.objective.name, encoder.layout, bundle.manifest.objective.options)
    objective.load_state_dict(bundle.objective.state_dict())
    model = models.build(part.name, encoder.layout, objective.heads, options)
    before, weights = old.state_dict(), model.state_dict()
    for name, new in weights.items():
        one = before[name] if name in before else new[:0]  # nobody had a unit of their own
        weights[name] = one if one.shape == new.shape else rows(name, one, new)
    model.load_state_dict(weights)
    manifest = replace(
        bundle.manifest,
        model=Part(part.name, options),
        schema_fingerprint=schema.fingerprint,
        parameters=parameter_count(model),
        files={},
    )
    return Bundle(manifest, schema, encoder, model.eval(), objective.eval())


def _owned(bundle: Bundle) -> dict[str, dict[str, Tensor]]:
    """Tensors by scenario, and under `"*"` those that belong to none."""
    model = _model(bundle)
    names = bundle.encoder.layout.scenarios
    found: dict[str, dict[str, Tensor]] = {"*": {}, **{name: {} for name in names}}
    for key, value in model.state_dict().items():
        by_scenario = ".own." in key and key.startswith("scenario.")
        if not (by_scenario or key.endswith("inputs.scenario") or key == "selector.network.weight"):
            found["*"][key] = value
            continue
        for place, name in enumerate(names):
            at = int(model.adapter[place]) if by_scenario else place
            if at >= 0:
                found[name][key] = value[at]
    return found


def _apart(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float | None:
    if one.keys() != other.keys() or any(one[key].shape != other[key].shape for key in one):
        return None
    return max((float((one[key] - other[key]).abs().max()) for key in one if one[key].numel()), default=0.0)
