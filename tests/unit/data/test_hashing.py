import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from polyrec.data.hashing import fraction, hash_keys, hash_text, splitmix64
from polyrec.data.keys import read_keys

WORD = 2**64 - 1


def mixed(value: int) -> int:
    """SplitMix64 in plain integers, from the paper."""
    value = (value + 0x9E3779B97F4A7C15) & WORD
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & WORD
    return value ^ (value >> 31)


def hashed(text: str) -> int:
    """The polynomial of the text's bytes by Horner-free plain integers."""
    raw = text.encode()
    total = sum(mixed(byte + 1) * pow(0x5851F42D4C957F2D, place, 2**64) for place, byte in enumerate(raw)) & WORD
    return mixed(total ^ (len(raw) * 0xBF58476D1CE4E5B9) & WORD)


def test_splitmix64_gives_the_published_sequence():
    states = (np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).view(np.int64)
    assert splitmix64(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_integers_mix_as_in_plain_arithmetic(values):
    assert splitmix64(np.array(values, np.int64)).tolist() == [mixed(one & WORD) for one in values]


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=30), max_size=20), st.integers(0, 5))
def test_texts_hash_as_in_plain_arithmetic_wherever_they_lie_in_an_array(texts, skipped):
    array = pa.array(["x"] * skipped + texts, pa.large_string()).slice(skipped)
    assert hash_text(array).tolist() == [hashed(one) for one in texts]


def test_many_texts_have_as_many_hashes():
    texts = pa.array([f"{prefix}{one}" for prefix in ("a", "b", "") for one in range(50_000)], pa.large_string())
    assert len(np.unique(hash_text(texts))) == len(texts)


def test_hashes_are_spread_evenly():
    hashes = hash_text(pa.array([f"user {one}" for one in range(64_000)], pa.large_string()))
    counts = np.bincount((hashes % np.uint64(64)).astype(int), minlength=64)
    assert ((counts - 1000) ** 2 / 1000).sum() < 110  # chi-squared, 63 degrees: p = .0002


def test_another_process_gives_the_same_hashes():
    code = (
        "import pyarrow as pa; from polyrec.data.hashing import *; from polyrec.data.keys import read_keys;"
        "print(hash_keys(read_keys(pa.array(['home', None, 'búy']), 'x')).tolist())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    mine = hash_keys(read_keys(pa.array(["home", None, "búy"]), "x")).tolist()
    assert other.stdout.strip() == str(mine)
    assert mine[0] == hashed("home")


def test_fractions_lie_in_the_unit_interval_and_depend_on_the_seed():
    hashes = splitmix64(np.arange(10_000))
    one, two = fraction(hashes, 0), fraction(hashes, 1)
    assert one.min() >= 0.0
    assert one.max() < 1.0
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.04
