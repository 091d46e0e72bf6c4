"""The learning rate's share by step."""

from math import cos, pi

from polyrec.config import TrainingConfig


def factor(config: TrainingConfig, step: int, steps: int) -> float:
    """What every learning rate is multiplied with at `step` (from 0) of `steps`.

    Formula:
        (step + 1) / warmup up to warmup; then 1, or with progress x in [0, 1] over the remaining steps
        1 - x (linear), (1 + cos(pi x)) / 2 (cosine)

    Example:
        >>> config = TrainingConfig(warmup=2, lr_decay="linear")
        >>> [round(factor(config, step, 6), 2) for step in range(7)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if step < config.warmup:
        return (step + 1) / config.warmup
    if config.lr_decay == "none":
        return 1.0
    done = min((step - config.warmup) / max(steps - config.warmup, 1), 1.0)
    return 1.0 - done if config.lr_decay == "linear" else (1.0 + cos(pi * done)) / 2
