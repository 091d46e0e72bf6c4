"""What happens when over the planned steps: the learning rate, and validations."""

from math import cos, pi
from typing import Literal

Decay = Literal["none", "linear", "cosine"]


def factor(step: int, *, steps: int, warmup: int = 0, decay: Decay = "none") -> float:
    """What the learning rates are multiplied by at a step, counted from 0.

    Formula:
        (step + 1) / warmup while step < warmup; then, with u = (step - warmup) / (steps - warmup):
        1 (`"none"`), 1 - u (`"linear"`), (1 + cos(pi u)) / 2 (`"cosine"`). Past the planned steps u stays 1.

    Example:
        >>> [factor(step, steps=4, warmup=2, decay="linear") for step in range(5)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return (step + 1) / warmup
    if decay == "none":
        return 1.0
    done = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return 1.0 - done if decay == "linear" else 0.5 * (1.0 + cos(pi * done))


def evaluation_steps(steps: int, evaluations: int) -> frozenset[int]:
    """After which steps of an epoch to validate, beside its end: evenly spread.

    Example:
        >>> sorted(evaluation_steps(10, 3))
        [3, 7]
    """
    spread = {round(steps * part / evaluations) for part in range(1, evaluations)}
    return frozenset(spread - {0, steps})
