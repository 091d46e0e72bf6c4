"""Every model by name: a class, its config and the paper it follows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.declare import parse
from polyrec.errors import ConfigError, unknown


@runtime_checkable
class Model(Protocol):
    """A function of a batch: one logit a row for every head it was asked for.

    A row runs its own scenario's networks and no other's. A model whose paper says otherwise declares it with a class
    attribute, `reads_other_scenarios = True`: the contract then lets the cost of a row grow with the scenarios.
    """

    def forward(self, batch: Batch) -> Output:
        """Logits of every head, and whatever hidden states and penalties the model has."""
        ...


M = TypeVar("M", bound=type[nn.Module])


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered model."""

    name: str
    model: Callable[[Layout, Sequence[str], Any], nn.Module]
    config: type[Any]


_ENTRIES: dict[str, Entry] = {}


def register(name: str, config: type[Any]) -> Callable[[M], M]:
    """Class decorator: make a model known under `name`, built as `Model(layout, heads, config)`.

    Raises:
        ConfigError: the name is taken by another class, or `config` is not a frozen dataclass.
    """
    if not is_dataclass(config):
        raise ConfigError(f"the config of model {name!r} must be a frozen dataclass, not {config!r}.")

    def add(model: M) -> M:
        other = _ENTRIES.get(name)
        if other is not None and cast(Any, other.model).__qualname__ != model.__qualname__:
            raise ConfigError(f"model {name!r} is registered already, by {other.model!r}. Choose another name.")
        _ENTRIES[name] = Entry(name, cast(Any, model), config)
        return model

    return add


def names() -> tuple[str, ...]:
    """Registered models, in order of registration."""
    return tuple(_ENTRIES)


def entry(name: str) -> Entry:
    """What is registered under `name`."""
    if name not in _ENTRIES:
        raise ConfigError(unknown("model", name, _ENTRIES, "registered"))
    return _ENTRIES[name]


def build(name: str, layout: Layout, heads: Sequence[str], options: Mapping[str, Any] | None = None) -> nn.Module:
    """A model with these options over its defaults; an unknown option is refused by name."""
    found = entry(name)
    return found.model(layout, tuple(heads), parse(found.config, options or {}, f"[model] of {name}"))
