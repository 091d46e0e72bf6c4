"""Random numbers that are a function of (seed, stream, index): a row's draws do not depend on its block."""

from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser, in place: every input bit reaches every output bit."""
    scratch = state >> np.uint64(30)
    state ^= scratch
    state *= _FIRST
    np.right_shift(state, np.uint64(27), out=scratch)
    state ^= scratch
    state *= _SECOND
    np.right_shift(state, np.uint64(31), out=scratch)
    state ^= scratch
    return state


class Draws:
    """Independent streams of a seed, each addressed by index.

    `u(stream, k)` = top 53 bits of mix(key(seed, stream) + (k + 1) step) / 2^53, mix as in SplitMix64
    (Steele, Lea and Flood 2014). Equal indices give equal numbers whatever is drawn before or beside them.

    Example:
        >>> draws = Draws(seed=1)
        >>> whole = draws.uniform("click", np.arange(6))
        >>> parts = np.concatenate([draws.uniform("click", np.arange(4)), draws.uniform("click", np.arange(4, 6))])
        >>> bool((whole == parts).all()), bool((whole == draws.uniform("buy", np.arange(6))).any())
        (True, False)
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def uniform(self, stream: str, index: NDArray[Any]) -> Floats:
        """Uniform in [0, 1), one per index."""
        name = stream.encode()
        parts = (self.seed % 2**64, crc32(name) | crc32(name[::-1]) << 32)
        key = np.zeros(1, np.uint64)
        for part in parts:
            key = _mixed((key ^ np.uint64(part)) + _STEP)
        state = index.astype(np.uint64)
        state += np.uint64(1)
        state *= _STEP
        state += key
        state = _mixed(state)
        state >>= np.uint64(11)
        return state.astype(np.float64) * 2.0**-53

    def normal(self, stream: str, index: NDArray[Any]) -> Floats:
        """Standard normal, one per index (Box and Muller 1958)."""
        radius = 1.0 - self.uniform(stream + "/radius", index)
        np.log(radius, out=radius)
        radius *= -2.0
        np.sqrt(radius, out=radius)
        angle = self.uniform(stream + "/angle", index)
        angle *= 2.0 * np.pi
        np.cos(angle, out=angle)
        return np.multiply(radius, angle, out=radius)

    def table(self, stream: str, *shape: int) -> Floats:
        """Standard normals in an array of that shape."""
        numbers: Floats = self.normal(stream, np.arange(int(np.prod(shape)))).reshape(shape)
        return numbers
