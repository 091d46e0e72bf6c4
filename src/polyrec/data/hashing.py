"""Hashes that are the same on every machine, in every process and in every version.

They decide which rows are validation, which bucket a hashed id falls into and which user a row belongs to,
so they may never change. Python's `hash` is salted, and those of data-frame libraries are free to change.
"""

import numpy as np
import pyarrow as pa

from polyrec.data.keys import Keys

_FIRST = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xBF58476D1CE4E5B9)
_THIRD = np.uint64(0x94D049BB133111EB)
_BASE = 0x5851F42D4C957F2D  # odd, so that its powers never vanish
ABSENT = np.uint64(0xD1B54A32D192ED03)


def splitmix64(values: np.ndarray) -> np.ndarray:
    """Mix 64-bit integers so that every bit of the result depends on every bit of the value.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

    Example:
        >>> [hex(one) for one in splitmix64(np.array([0, 1])).tolist()]
        ['0xe220a8397b1dcdaf', '0x910a2dec89025cc1']
    """
    mixed = values.astype(np.uint64)
    mixed += _FIRST
    mixed ^= mixed >> np.uint64(30)
    mixed *= _SECOND
    mixed ^= mixed >> np.uint64(27)
    mixed *= _THIRD
    mixed ^= mixed >> np.uint64(31)
    return mixed


_BYTES = splitmix64(np.arange(256) + 1)


def hash_text(texts: pa.LargeStringArray) -> np.ndarray:
    """A 64-bit hash of each text's UTF-8 bytes: sum of g(byte i) * p^i, mixed; p odd, modulo 2^64.

    No loop over texts: sums over all bytes of the array at once. A null hashes like the empty text.

    Example:
        >>> one, two = hash_text(pa.array(["home", "search"], pa.large_string()))
        >>> bool(one != two)
        True
    """
    _, bounds, data = texts.buffers()
    count = len(texts)
    if count == 0:
        return np.zeros(0, np.uint64)
    offsets = np.frombuffer(bounds, np.int64)[texts.offset : texts.offset + count + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    lengths = np.diff(offsets)
    sums = np.zeros(last - first + 1, np.uint64)
    if last > first:
        raw = np.frombuffer(data, np.uint8)[first:last]
        powers = np.full(int(lengths.max()), _BASE, np.uint64)
        powers[0] = 1
        np.multiply.accumulate(powers, out=powers)
        place = np.arange(last - first) - np.repeat(offsets[:-1] - first, lengths)
        np.cumsum(_BYTES[raw] * powers[place], out=sums[1:])
    whole = sums[offsets[1:] - first] - sums[offsets[:-1] - first]
    return splitmix64(whole ^ (lengths.astype(np.uint64) * _SECOND))


def hash_keys(keys: Keys) -> np.ndarray:
    """A 64-bit hash of each row's value: of integers their mixed value, of texts `hash_text`, of null a constant."""
    values = keys.values
    hashed = hash_text(values) if keys.kind == "text" else splitmix64(keys.integers())
    return keys.spread(hashed, ABSENT)


def fraction(hashes: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each hash, another one for each seed.

    Example:
        >>> share = fraction(splitmix64(np.arange(10_000)), seed=7)
        >>> bool(abs((share < 0.1).mean() - 0.1) < 0.01)
        True
    """
    salt = splitmix64(np.array([seed], np.int64))
    return (splitmix64(hashes ^ salt) >> np.uint64(11)).astype(np.float64) * 2.0**-53
