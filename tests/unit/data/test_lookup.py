import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyrec.data.hashing import splitmix64
from polyrec.data.lookup import Lookup

WORDS = st.integers(0, 2**64 - 1) | st.integers(0, 3) | st.integers(2**64 - 3, 2**64 - 1)


@given(st.lists(WORDS, unique=True), st.lists(WORDS))
def test_it_finds_what_a_dictionary_finds(known, asked):
    places = {one: place for place, one in enumerate(known)}
    asked = asked + known
    found = Lookup.of(np.array(known, np.uint64)).find(np.array(asked, np.uint64))
    assert found.tolist() == [places.get(one, -1) for one in asked]


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 100_000])
def test_it_finds_all_of_many_and_none_of_the_others(count):
    hashes = splitmix64(np.arange(2 * count))
    lookup = Lookup.of(hashes[:count])
    assert np.array_equal(lookup.find(hashes[:count]), np.arange(count))
    assert (lookup.find(hashes[count:]) == -1).all()
    assert len(lookup.find(hashes[:0])) == 0
