import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.data import sample as module
from polyrec.data.hashing import splitmix64
from polyrec.data.numbers import Tally
from polyrec.data.sample import RowSample


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=12), st.integers(0, 5), st.integers(2, 40), st.randoms())
def test_rows_are_drawn_by_their_number_in_whatever_parts_and_order(sizes, seed, size, random):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SIZE", size)
        rng = np.random.default_rng(seed)
        values, there = rng.normal(size=sum(sizes)), rng.random(sum(sizes)) < 0.8
        whole = RowSample()
        whole.add(0, values, there)
        parts = []
        for start, count in zip(np.cumsum([0, *sizes]), sizes, strict=False):
            parts.append(RowSample())
            for at in range(start, start + count, 7):
                end = min(at + 7, start + count)
                parts[-1].add(int(at), values[at:end], there[at:end])
        random.shuffle(parts)
        joined = RowSample()
        for part in parts:
            joined.keep(part.hashes(), part.values(), part.halved)
        hashes = [(int(splitmix64(np.array([row]))[0]), value) for row, value in enumerate(values) if there[row]]
        k = next(k for k in range(65) if sum(one < 2 ** (64 - k) for one, _ in hashes) <= size)
        kept = [value for one, value in hashes if one < 2 ** (64 - k)]
        assert whole.values().tolist() == kept
        assert sorted(joined.values().tolist()) == sorted(kept)


def test_a_row_sample_is_even_over_the_values(monkeypatch):
    monkeypatch.setattr(module, "SIZE", 2_000)
    sample = RowSample()
    for start in range(0, 100_000, 500):
        sample.add(start, np.arange(start, start + 500, dtype=float), np.ones(500, bool))
    kept = sample.values()
    assert 900 < len(kept) <= 2_000
    assert abs(kept.mean() - 50_000) < 2_500


@pytest.mark.parametrize("kind", ["none", "standard", "log", "quantile"])
def test_tallies_of_parts_join_to_that_of_all_rows_bit_for_bit(monkeypatch, kind):
    monkeypatch.setattr(module, "SIZE", 300)
    random = np.random.default_rng(1)
    chunks = [random.lognormal(3, 2, size) for size in random.integers(0, 200, 30)]
    for chunk in chunks:
        chunk[random.random(len(chunk)) < 0.2] = np.nan
    whole, joined, rows = Tally(kind), Tally(kind), 0
    for at in range(0, 30, 7):
        part = Tally(kind, rows)
        for chunk in chunks[at : at + 7]:
            part.add(chunk, 1)
            whole.add(chunk, 1)
            rows += len(chunk)
        joined.join(part.told(), part.arrays())
    assert repr(joined.fitted()) == repr(whole.fitted())
    assert joined.rows == rows
