"""What a search may change in a run file, and how a setting is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from polyrec.config import RunConfig, set_option
from polyrec.declare import STRICT, RefusedError, parse, problems_of
from polyrec.errors import ConfigError
from polyrec.recipes.assemble import resolve

Settings: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both within; `log`: evenly in their logarithm; `whole`: integers."""

    __pydantic_config__ = STRICT
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(f"low = {self.low:g} is not below high = {self.high:g}. Swap or mend them.")
        if self.log and self.low <= 0:
            raise ConfigError(f"low = {self.low:g} has no logarithm. Give a number above 0, or leave out log.")

    @property
    def values(self) -> tuple[float | int, ...]:
        """Its ends."""
        return (round(self.low), round(self.high)) if self.whole else (self.low, self.high)

    def draw(self, rng: np.random.Generator) -> float | int:
        """A number within, to four digits."""
        value = (
            np.exp(rng.uniform(np.log(self.low), np.log(self.high))) if self.log else rng.uniform(self.low, self.high)
        )
        return round(value) if self.whole else float(f"{value:.4g}")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values."""

    values: tuple[Any, ...]

    def draw(self, rng: np.random.Generator) -> Any:
        """A value, each as likely."""
        return self.values[int(rng.integers(len(self.values)))]


Space: TypeAlias = dict[str, Range | Choice]
TABLES = ("model", "objective", "balancer", "training", "stages", "transfer", "retrieval")
DEFAULT: Mapping[str, Any] = {
    "training.lr": {"low": 3e-4, "high": 1e-2, "log": True},
    "training.table_lr": {"low": 3e-3, "high": 1e-1, "log": True},
    "training.table_decay": {"low": 1e-7, "high": 1e-3, "log": True},
    "training.batch_size": [512, 1024, 2048, 4096],
}


def read_space(values: Mapping[str, Any], where: str) -> Space:
    """A space from plain values: a table is a `Range`, a list a `Choice`.

    Raises:
        ConfigError: neither of them, an empty list, or a range without room; all of them at once.

    Example:
        >>> read_space({"training.lr": {"low": 1e-4, "high": 1e-2, "log": True}, "model.dim": [8, 16]}, "[space]")
        {'training.lr': Range(low=0.0001, high=0.01, log=True, whole=False), 'model.dim': Choice(values=(8, 16))}
    """
    found: Space = {}
    problems = []
    for key, value in values.items():
        try:
            found[key] = _read(key, value, where)
        except ConfigError as reason:
            problems += problems_of(reason)
    if problems:
        raise RefusedError(problems)
    return found


def _read(key: str, value: Any, where: str) -> Range | Choice:
    if "." not in key:
        raise ConfigError(f'{where}: {key!r} names no option. Write table and option, such as "training.lr".')
    if key in ("training.seed", "training.device", "training.threads") or key.startswith("data."):
        raise ConfigError(f"{where}: {key!r} is not to be tuned. Remove it.")
    if isinstance(value, Mapping):
        return parse(Range, value, f"{where} {key}")
    if isinstance(value, (list, tuple)) and value:
        return Choice(tuple(value))
    raise ConfigError(
        f"{where}: {key} = {value!r} is no range. Write {{ low = 1e-4, high = 1e-2, log = true }} or [8, 16]."
    )


def check(run: RunConfig, space: Space) -> None:
    """Refuse options and values that the run does not take, before anything is trained.

    Raises:
        ConfigError: all of them at once.
    """
    problems = []
    for key, one in space.items():
        table = key.partition(".")[0]
        if table not in TABLES:
            problems.append(f"[space] {key!r}: {table!r} is no table of a run file. Known: {', '.join(TABLES)}.")
            continue
        for value in one.values:
            try:
                resolve(applied(run, {key: value}))
            except ConfigError as reason:
                problems.append(f"[space] {key} = {value!r}: {reason}")
                break
    if problems:
        raise RefusedError(problems)


def applied(run: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """The run with settings over its own.

    Example:
        >>> from polyrec.config import DataConfig
        >>> run = RunConfig("mmoe", DataConfig("schema.toml", log=("log.parquet",)))
        >>> applied(run, {"training.lr": 0.003}).training
        {'lr': 0.003}
    """
    values = run.to_dict()
    for key, value in settings.items():
        set_option(values, key, value)
    return parse(RunConfig, values, "run")
