"""A moving average of the weights, which is validated and kept in place of the last step's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from polyrec.shapes import Tensor

EVERY = 8  # steps between two moves of the average: it costs a pass over all weights


class Average:
    """The mean of the weights over about the last `horizon` steps.

    A single step's weights carry the noise of its last batches, most of all in embedding rows that are read
    seldom; their average does not, and scores better from the same training.

    Formula:
        every 8 steps, after step n:  mean <- mean + max(8 / horizon, 8 / n) (weights - mean), at most 1
        that is the plain mean up to `horizon` steps, then the exponential one. Numbers that are not floating
        point (counters) are taken as they are.

    Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; the exponential form
    is the usual practice.

    Args:
        parts: modules whose weights are averaged, by name.
        horizon: steps; 0 keeps no average, and every method does nothing.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> average = Average({"model": layer}, horizon=16)
        >>> for step in range(1, 17):
        ...     _ = layer.weight.data.fill_(float(step))
        ...     average.move(step)
        >>> with average.shown():
        ...     print(layer.weight.item())  # of steps 8 and 16
        12.0
        >>> layer.weight.item()
        16.0
    """

    def __init__(self, parts: Mapping[str, nn.Module], horizon: int) -> None:
        self.parts, self.horizon = parts, horizon
        self.weights: dict[str, Tensor] = {}

    @torch.no_grad()
    def move(self, step: int) -> None:
        """Take in the weights as they are after `step` steps."""
        if not self.horizon or step % EVERY:
            return
        share = min(1.0, max(EVERY / self.horizon, EVERY / step))
        for name, one in self._current().items():
            mean = self.weights.get(name)
            if mean is None:
                self.weights[name] = one.clone()
            elif one.is_floating_point():
                mean.lerp_(one, share)
            else:
                mean.copy_(one)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from an average that a checkpoint kept."""
        current = self._current()
        self.weights = {name: one.to(current[name].device) for name, one in weights.items()}

    @torch.no_grad()
    def settle(self) -> None:
        """The modules have the averaged weights from now on."""
        for name, one in self._current().items() if self.weights else ():
            one.copy_(self.weights[name])

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The modules have the averaged weights for a while, then their own again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for name, one in self._current().items() if self.weights else ():
            one.data, self.weights[name] = self.weights[name], one.data

    def _current(self) -> dict[str, Tensor]:
        """Parameters and buffers by name, the objects themselves; each once, also where it has two names."""
        found = {
            id(one): (f"{part}/{name}", one)
            for part, module in self.parts.items()
            for name, one in module.state_dict(keep_vars=True).items()
        }
        return dict(found.values())
