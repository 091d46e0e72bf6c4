"""One optimizer for all that a stage trains: row-wise Adagrad for sparse tables, Adam (lazy, if asked) for the rest."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import nn

from polyrec.config import TrainingConfig
from polyrec.errors import ConfigError, DataError, unknown
from polyrec.nn.routed import RoutedLinear
from polyrec.nn.table import Table
from polyrec.shapes import Tensor
from polyrec.training.lazy import LazyAdam
from polyrec.training.rowwise import RowwiseAdagrad
from polyrec.training.schedule import factor


class Optimizer:
    """Takes the gradients in `grad` and changes the parameters that require them.

    Tables that make sparse gradients go to `RowwiseAdagrad` with `table_lr` and `table_decay`. Everything
    else goes to Adam (Kingma and Ba, ICLR 2015) with `lr`. `weight_decay` is the L2 penalty of the papers that
    are compared here: it is added to the gradient before Adam's moments, not decoupled from them; it applies
    to the model's parameters, not to an objective's or a balancer's. Tables trained by Adam (`tables =
    "dense"`) take `lr` and `table_decay`. `clip` bounds the norm of all gradients that go to Adam. `lr_ratios`
    multiply `lr` for the model's parameters whose names fit a pattern (the last one that does), and those that fit
    one of `no_decay` have no `weight_decay`. With `lazy`, weights of scenarios (`RoutedLinear`) go to `LazyAdam`: a
    scenario moves with its own batches only.

    Args:
        parts: the modules by name ("model", "objective", "balancer"); names of state follow them.
        config: rates, decays, clip, schedule.
        steps: planned, for the schedule.

    Raises:
        ConfigError: a pattern of `lr_ratios` or `no_decay` that fits no parameter.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> optimizer = Optimizer({"model": layer}, TrainingConfig(lr=0.1), steps=10)
        >>> layer(torch.ones(1, 2)).sum().backward()
        >>> optimizer.step(0)
        >>> sorted(optimizer.state())[:2]
        ['adam.model.bias.exp_avg', 'adam.model.bias.exp_avg_sq']
    """

    def __init__(self, parts: Mapping[str, nn.Module], config: TrainingConfig, steps: int) -> None:
        self.config = config
        self.steps = steps
        named = {
            f"{part}.{name}": one
            for part, module in parts.items()
            for name, one in module.named_parameters()
            if one.requires_grad
        }
        tables, sparse = _tables(parts)
        self.rows = RowwiseAdagrad(
            {name: one for name, one in named.items() if id(one) in sparse},
            lr=config.table_lr,
            decay=config.table_decay,
        )
        self.dense = {name: one for name, one in named.items() if id(one) not in sparse}
        if "model" in parts:
            _check((*config.lr_ratios, *config.no_decay), [name for name, _ in parts["model"].named_parameters()])
        own = _owned(parts) if config.lazy else set()
        options = {name: _options(name, one, tables, config) for name, one in self.dense.items()}
        lazy = {name: one for name, one in self.dense.items() if id(one) in own}
        decays, ratios = ({name: options[name][place] for name in lazy} for place in range(2))
        self.lazy = LazyAdam(lazy, decays, ratios)
        self.adam = _adam({name: one for name, one in self.dense.items() if name not in lazy}, options, config)

    def step(self, step: int) -> None:
        """Update everything that has a gradient, then forget the gradients."""
        scale = factor(step, steps=self.steps, warmup=self.config.warmup, decay=self.config.lr_decay)
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.dense.values(), self.config.clip)
        if self.adam is not None:
            for group in self.adam.param_groups:
                group["lr"] = self.config.lr * group["ratio"] * scale
            self.adam.step()
        self.lazy.step(self.config.lr * scale)
        self.rows.step(scale)
        for parameter in (*self.dense.values(), *self.rows.tables.values()):
            parameter.grad = None

    def lr(self, step: int) -> float:
        """Adam's learning rate at a step."""
        return self.config.lr * factor(step, steps=self.steps, warmup=self.config.warmup, decay=self.config.lr_decay)

    def state(self) -> dict[str, Tensor]:
        """Every moment and accumulator by name; `load` reads it back."""
        found = {f"rows.{name}": one for name, one in self.rows.sums.items()}
        for name, moments in self.lazy.moments.items():
            found |= {f"lazy.{name}.{key}": one for key, one in moments.items()}
        if self.adam is not None:
            for name, parameter in self.dense.items():
                found |= {f"adam.{name}.{key}": one for key, one in self.adam.state.get(parameter, {}).items()}
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state; what plain Adam knew of weights that are lazy now becomes each scenario's.

        Raises:
            DataError: it belongs to other parameters.
        """
        moments: dict[str, dict[str, Tensor]] = {}
        for name, one in state.items():
            kind, _, rest = name.partition(".")
            if kind == "rows" and rest in self.rows.sums and self.rows.sums[rest].shape == one.shape:
                self.rows.sums[rest].copy_(one)
                continue
            parameter, _, key = rest.rpartition(".")
            if kind == "lazy" and parameter in self.lazy.moments and key in self.lazy.moments[parameter]:
                self.lazy.moments[parameter][key].copy_(one)
            elif kind == "adam" and parameter in self.dense:
                moments.setdefault(parameter, {})[key] = one
            else:
                raise DataError(
                    f"the checkpoint has optimizer state {name!r} {tuple(one.shape)}, which this model has no "
                    "parameter for. Resume with the run file that the run was started with."
                )
        for name in self.lazy.moments.keys() & moments.keys():
            self.lazy.take(name, moments.pop(name))
        if self.adam is not None:
            places = {name: place for place, name in enumerate(self._adam_order())}
            plain = self.adam.state_dict()
            plain["state"] = {places[name]: dict(one) for name, one in moments.items()}
            self.adam.load_state_dict(plain)

    def _adam_order(self) -> list[str]:
        names = {id(one): name for name, one in self.dense.items()}
        assert self.adam is not None
        return [names[id(one)] for group in self.adam.param_groups for one in group["params"]]


def _tables(parts: Mapping[str, nn.Module]) -> tuple[set[int], set[int]]:
    """All tables' weights, and those that make sparse gradients, by `id`."""
    tables = [one for part in parts.values() for one in part.modules() if isinstance(one, Table)]
    return {id(one.weight) for one in tables}, {id(one.weight) for one in tables if one.sparse}


def _owned(parts: Mapping[str, nn.Module]) -> set[int]:
    """Weights of which each scenario owns a part, by `id`."""
    layers = [one for part in parts.values() for one in part.modules() if isinstance(one, RoutedLinear)]
    return {id(one) for layer in layers for one in layer.parameters() if len(one) > 1}


def _options(name: str, one: nn.Parameter, tables: set[int], config: TrainingConfig) -> tuple[float, float]:
    """A parameter's decay, and what its learning rate is multiplied by."""
    own, ratio = 0.0, 1.0
    if name.startswith("model."):
        short = name.removeprefix("model.")
        free = any(fnmatchcase(short, pattern) for pattern in config.no_decay)
        own = 0.0 if free else config.weight_decay
        ratio = [1.0, *(value for pattern, value in config.lr_ratios.items() if fnmatchcase(short, pattern))][-1]
    return (config.table_decay if id(one) in tables else own), ratio


def _adam(
    dense: Mapping[str, nn.Parameter], options: Mapping[str, tuple[float, float]], config: TrainingConfig
) -> torch.optim.Adam | None:
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, one in dense.items():
        groups.setdefault(options[name], []).append(one)
    if not groups:
        return None
    made = [{"params": params, "weight_decay": decay, "ratio": ratio} for (decay, ratio), params in groups.items()]
    return torch.optim.Adam(made, lr=config.lr, fused=True)


def _check(patterns: Iterable[str], names: list[str]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            known = sorted({f"{name.partition('.')[0]}.*" for name in names})
            raise ConfigError(f"[training] lr_ratios, no_decay: {unknown('pattern', pattern, known, 'a parameter')}")
