"""Batches with a share of earlier rows mixed in."""

from collections.abc import Iterator

import numpy as np
import torch

from polyrec.batch import Batch
from polyrec.data.held import join
from polyrec.data.loader import START, Loader, Position
from polyrec.errors import ConfigError


class Replayed:
    """The batches of a loader, each with rows of `earlier` so that these are `share` of it.

    Which rows is drawn, with replacement, from (seed, epoch, place) and nothing else.

    Example:
        ```python
        mixed = Replayed(loader, earlier, share=0.2, seed=0)
        ```
    """

    def __init__(self, loader: Loader, earlier: Batch, *, share: float, seed: int = 0) -> None:
        if not 0.0 <= share < 1.0:
            raise ConfigError(f"replay = {share} must be at least 0 and less than 1: a share of each batch.")
        self.loader, self.earlier, self.seed = loader, earlier, seed
        self.factor = share / (1.0 - share) if len(earlier) else 0.0

    @property
    def rows(self) -> int:
        """New rows in an epoch, the earlier ones not counted."""
        return self.loader.rows

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return self.loader.steps

    def epoch(self, number: int, start: Position = START) -> Iterator[tuple[Position, Batch]]:
        """The batches of an epoch from `start` on, each with the position that comes after it."""
        for after, batch in self.loader.epoch(number, start):
            count = round(self.factor * len(batch))
            if not count:
                yield after, batch
                continue
            random = np.random.default_rng((self.seed, number, after.window, after.batch))
            drawn = torch.from_numpy(random.integers(0, len(self.earlier), count))
            yield after, join([batch, self.earlier.select(drawn)])
