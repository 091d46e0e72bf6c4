"""Which settings to try next, given those that were tried."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyrec.bench.space import Choice, Range, Settings, Space
from polyrec.errors import ConfigError, NotReadyError, unknown


@dataclass(frozen=True, slots=True)
class Tried:
    """Settings and what they were worth on validation rows; None where training failed."""

    settings: Settings
    score: float | None


def best(tried: Sequence[Tried]) -> Tried | None:
    """The highest score, the earliest of equals; None where none has one."""
    known = [one for one in tried if one.score is not None]
    return max(known, key=lambda one: one.score or 0.0) if known else None


def propose(space: Space, tried: Sequence[Tried], sampler: str = "random", seed: int = 0) -> Settings:
    """The next settings. The first are the run file's own: a search never ends below them.

    A proposal depends on nothing but the arguments, so that a search that was broken off goes on as it would have.

    Args:
        space: what may change.
        tried: all earlier settings, in order.
        sampler: `"random"`, the same draws whatever is tuned; or `"tpe"`, a tree-structured Parzen estimator
            (Bergstra et al., NIPS 2011) by optuna, which draws at random ten times and then where it was good.
        seed: of the draws.

    Raises:
        ConfigError: no such sampler, or an empty space.
        NotReadyError: optuna is not installed.
    """
    if sampler not in SAMPLERS:
        raise ConfigError(unknown("sampler", sampler, SAMPLERS))
    if not space:
        raise ConfigError("the space is empty: there is nothing to search. Give at least one option.")
    return SAMPLERS[sampler](space, tried, seed) if tried else {}


def _random(space: Space, tried: Sequence[Tried], seed: int) -> Settings:
    # One stream an option: taking an option out of the space leaves the draws of the others as they were.
    streams = {key: np.random.default_rng([seed, len(tried), zlib.crc32(key.encode())]) for key in space}
    return {key: one.draw(streams[key]) for key, one in space.items()}


def _tpe(space: Space, tried: Sequence[Tried], seed: int) -> Settings:
    try:
        import optuna
    except ImportError as reason:
        raise NotReadyError(
            "sampler 'tpe' needs optuna, which is not installed. "
            "Run pip install 'polyrec[tune]', or search at random: --sampler random."
        ) from reason
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ranges = {key: _distribution(optuna, one) for key, one in space.items()}
    sampler = optuna.samplers.TPESampler(seed=100_003 * seed + len(tried))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for one in tried[1:]:  # the first has no settings of the space
        study.add_trial(
            optuna.trial.create_trial(
                params={key: _plain(space[key], value) for key, value in one.settings.items() if key in space},
                distributions=ranges,
                value=one.score,
                state=optuna.trial.TrialState.COMPLETE if one.score is not None else optuna.trial.TrialState.FAIL,
            )
        )
    drawn = study.ask(ranges).params
    return {key: _valued(one, drawn[key]) for key, one in space.items()}


def _distribution(optuna: Any, one: Range | Choice) -> Any:
    if isinstance(one, Choice):
        return optuna.distributions.CategoricalDistribution(list(range(len(one.values))))
    if one.whole:
        return optuna.distributions.IntDistribution(int(one.low), int(one.high), log=one.log)
    return optuna.distributions.FloatDistribution(one.low, one.high, log=one.log)


def _plain(one: Range | Choice, value: Any) -> Any:
    """The value as optuna holds it: a choice by its place, so that any value may be one."""
    return one.values.index(value) if isinstance(one, Choice) else value


def _valued(one: Range | Choice, drawn: Any) -> Any:
    return one.values[drawn] if isinstance(one, Choice) else drawn


SAMPLERS: dict[str, Callable[[Space, Sequence[Tried], int], Settings]] = {"tpe": _tpe, "random": _random}
