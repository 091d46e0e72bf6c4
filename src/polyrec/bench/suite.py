"""suite.toml: which recipes on which data with which seeds, and how all of them are tuned."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Len
from pydantic import AfterValidator

from polyrec import recipes as registry
from polyrec.bench.space import DEFAULT, Space, read_space
from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.simulate.presets import named
from polyrec.declare import STRICT, RefusedError, parse, problems_of, read_toml
from polyrec.errors import ConfigError, unknown

NAMES = ("quick", "real", "truth", "papers")
EVERY = "*"


def _named(name: str) -> str:
    _refuse([partial(_check_name, name, "suite")])
    return name


def _known(recipes: tuple[str, ...]) -> tuple[str, ...]:
    _refuse(partial(registry.get, one) for one in recipes if one != EVERY)
    return recipes


def _space(values: dict[str, Any]) -> dict[str, Any]:
    read_space(values, "[space]")
    return values


def _refuse(checks: Iterable[Callable[[], object]]) -> None:
    """All that the checks find."""
    problems = []
    for check in checks:
        try:
            check()
        except ConfigError as reason:
            problems += problems_of(reason)
    if problems:
        raise RefusedError(problems)


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """A simulated world: the options of `polyrec simulate`."""

    __pydantic_config__ = STRICT
    preset: str = "balanced"
    rows: Annotated[int, Ge(1)] = 100_000
    days: Annotated[int, Ge(1)] = 14
    seed: int = 0
    scenarios: int | None = None

    def __post_init__(self) -> None:
        named(self.preset)


@dataclass(frozen=True, slots=True)
class DataSet:
    """One data set, given by a run file or simulated, and what every recipe on it is given."""

    __pydantic_config__ = STRICT
    name: str
    run: str | None = None  # a run file, such as `polyrec data` writes: its [data] is taken
    simulate: WorldConfig | None = None
    split: Split | None = None  # of a simulated world
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)  # over the suite's
    transfer: dict[str, Any] = field(default_factory=dict)  # for recipes with a target scenario

    def __post_init__(self) -> None:
        _check_name(self.name, "data")
        if (self.simulate is None) == (self.run is None):
            raise ConfigError(f"data {self.name!r} needs either run = a run file, or simulate = {{ preset = ... }}.")
        if self.run is not None and self.split is not None:
            raise ConfigError(f"data {self.name!r}: the split is {self.run}'s. Write it there.")

    def config(self, folder: Path) -> DataConfig:
        """Where the rows are; `folder` holds the simulated world, or is where the run file's path begins."""
        if self.run is not None:
            return RunConfig.load(folder / self.run).data
        return DataConfig(str(folder / "schema.toml"), log=(str(folder / "log.parquet"),), split=self.split)


@dataclass(frozen=True, slots=True)
class Contender:
    """A recipe with options of its own."""

    __pydantic_config__ = STRICT
    name: str
    recipe: str
    model: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=dict)
    balancer: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)  # beside the suite's

    def __post_init__(self) -> None:
        _refuse(
            [
                lambda: _check_name(self.name, "contenders"),
                lambda: registry.get(self.recipe),
                lambda: read_space(self.space, f"[space] of {self.name}"),
            ]
        )


@dataclass(frozen=True, slots=True)
class Suite:
    """A grid of data × contender × seed, and the budget that each contender is tuned with on each data set."""

    __pydantic_config__ = STRICT
    name: Annotated[str, AfterValidator(_named)]
    data: Annotated[tuple[DataSet, ...], Len(1)]
    recipes: Annotated[tuple[str, ...], AfterValidator(_known)] = ()
    contenders: tuple[Contender, ...] = ()
    baseline: str = "pooled"
    seeds: Annotated[tuple[Annotated[int, Ge(0)], ...], Len(1)] = (0, 1, 2, 3, 4)
    trials: Annotated[int, Ge(1)] = 1  # 1: every recipe's own settings, nothing is searched
    sampler: Literal["random", "tpe"] = "random"
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    space: Annotated[dict[str, Any], AfterValidator(_space)] = field(default_factory=lambda: dict(DEFAULT))
    about: str = ""

    def __post_init__(self) -> None:
        known, problems = [one.name for one in self.all], []
        for what, names in (("data", [one.name for one in self.data]), ("contenders", known)):
            twice = sorted({name for name in names if names.count(name) > 1})
            problems += [f"{what}: {name!r} is there twice. Names must differ." for name in twice]
        if len(set(self.seeds)) < len(self.seeds):
            problems.append(f"seeds = {list(self.seeds)}: the same seed twice is one run. Give different ones.")
        if not known:
            problems.append('recipes and contenders are empty: nothing to run. Add recipes = ["pooled", "mmoe"], say.')
        elif self.baseline not in known:
            problems.append(unknown("baseline", self.baseline, known, "among the recipes"))
        if problems:
            raise RefusedError(problems)

    @property
    def all(self) -> tuple[Contender, ...]:
        """Recipes as they are, then those with options; the baseline first."""
        names = [name for one in self.recipes for name in (registry.names() if one == EVERY else (one,))]
        found = [*(Contender(name, name) for name in dict.fromkeys(names)), *self.contenders]
        return tuple(sorted(found, key=lambda one: one.name != self.baseline))

    def only(self, names: Sequence[str]) -> "Suite":
        """The suite on some of its data sets.

        Raises:
            ConfigError: a name that it does not have.
        """
        known = [one.name for one in self.data]
        for name in names:
            if name not in known:
                raise ConfigError("--only: " + unknown("data", name, known, f"in suite {self.name}"))
        return replace(self, data=tuple(one for one in self.data if not names or one.name in names))

    def space_of(self, contender: Contender) -> Space:
        """What is searched for it."""
        return read_space({**self.space, **contender.space}, f"[space] of {contender.name}")

    def run(self, data: DataSet, rows: DataConfig, contender: Contender, seed: int) -> RunConfig:
        """The run file of a cell before tuning."""
        training = {**self.training, **data.training, **contender.training, "seed": seed}
        model = {**self.model, **data.model, **contender.model}
        transfer = data.transfer if registry.get(contender.recipe).transfer_options is not None else {}
        return RunConfig(
            contender.recipe,
            rows,
            model=model,
            objective=contender.objective,
            balancer=contender.balancer,
            training=training,
            stages=contender.stages,
            transfer=dict(transfer),
        )


def load(suite: str) -> tuple[Suite, Path]:
    """A suite of the package by its name, or of a file; and the folder where its paths begin.

    Raises:
        ConfigError: no such name or file, or a mistake in it; all of them at once.
    """
    if suite in NAMES:
        text = resources.files("polyrec.bench") / "suites" / f"{suite}.toml"
        with resources.as_file(text) as path:
            return read(read_toml(path), f"suite {suite}"), Path.cwd()
    path = Path(suite)
    if path.suffix != ".toml":
        raise ConfigError(unknown("suite", suite, NAMES) + " Or name a .toml file.")
    return read(read_toml(path), str(path)), path.resolve().parent


def read(values: Mapping[str, Any], where: str) -> Suite:
    """A suite from plain values, every recipe and range in it checked."""
    return parse(Suite, values, where)


def _check_name(name: str, what: str) -> None:
    if not name or not all(one.isalnum() or one in "-_." for one in name) or name.startswith("."):
        raise ConfigError(f"{what}: name {name!r} is to be a folder's. Use letters, digits, '-', '_' and '.'.")
