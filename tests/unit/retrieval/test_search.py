"""Exact and approximate search behind one face."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.batch import Jagged
from polyrec.errors import BundleError, ConfigError, DataError, NotReadyError
from polyrec.retrieval import AnnOptions, Approximate, Exact, exact, store

KINDS = ("flat", "ivf", "hnsw", "pq")


def random(rows, width=16, seed=0):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def jagged(rows):
    lengths = [len(row) for row in rows]
    values = torch.tensor([one for row in rows for one in row], dtype=torch.int64)
    return Jagged(values, torch.tensor([0, *np.cumsum(lengths)]))


def naive(vectors, queries, k, exclude=None, allow=None):
    """One query and one item at a time."""
    found = []
    for row, query in enumerate(queries):
        scores = [float(query @ vector) for vector in vectors]
        hidden = set(exclude[row]) if exclude is not None else set()
        may = [place for place in range(len(vectors)) if place not in hidden and (allow is None or bool(allow[place]))]
        best = sorted(may, key=lambda place: -scores[place])[:k]
        found.append(best + [-1] * (k - len(best)))
    return found


@settings(max_examples=40, deadline=None)
@given(
    items=st.integers(1, 300),
    queries=st.integers(0, 9),
    k=st.integers(1, 12),
    seed=st.integers(0, 99),
    filtered=st.booleans(),
    excluding=st.booleans(),
)
def test_exact_search_equals_one_item_at_a_time(items, queries, k, seed, filtered, excluding):
    vectors, asked, rng = random(items, 5, seed), random(queries, 5, seed + 1), np.random.default_rng(seed)
    allow = torch.from_numpy(rng.random(items) < 0.4) if filtered else None
    exclude = [sorted(rng.permutation(items)[: rng.integers(0, items + 1)].tolist()) for _ in range(queries)]
    given_ = jagged(exclude) if excluding else None
    hits = Exact(vectors).search(asked, k, exclude=given_, allow=allow)
    assert hits.places.tolist() == naive(vectors, asked, k, exclude if excluding else None, allow)
    there = hits.places >= 0
    expected = (asked[:, None] * vectors[hits.places.clamp(min=0)]).sum(2)
    assert torch.allclose(hits.scores[there], expected[there], atol=1e-5)
    assert bool(hits.scores[~there].isneginf().all())


@pytest.mark.parametrize(("block", "group"), [(64, 8), (100, 7), (1, 3), (1000, 4)])
def test_blocks_and_groups_change_nothing(monkeypatch, block, group):
    vectors, asked = random(333), random(130, seed=1)
    whole = Exact(vectors).search(asked, 9).places
    monkeypatch.setattr(exact, "ITEMS", block)
    monkeypatch.setattr(exact, "GROUP", group)
    monkeypatch.setattr(exact, "QUERIES", 11)
    seen = jagged([[place % 333] for place in range(130)])
    assert torch.equal(Exact(vectors).search(asked, 9).places, whole)
    hits = Exact(vectors).search(asked, 9, exclude=seen)
    assert hits.places.tolist() == naive(vectors, asked, 9, [[place % 333] for place in range(130)])


@pytest.mark.parametrize("kind", KINDS)
def test_approximate_search_finds_most_of_the_best_with_their_true_scores(kind):
    vectors, asked = random(3000, seed=2), random(50, seed=3)
    index = Approximate(vectors, AnnOptions(kind=kind))
    assert (index.is_exact, len(index), index.width) == (kind == "flat", 3000, 16)
    hits, true = index.search(asked, 20), Exact(vectors).search(asked, 20)
    found = np.mean(
        [len(set(a) & set(b)) / 20 for a, b in zip(hits.places.tolist(), true.places.tolist(), strict=True)]
    )
    assert found == 1.0 if kind == "flat" else found > 0.8
    assert torch.allclose(hits.scores, (asked[:, None] * vectors[hits.places]).sum(2), atol=1e-4)
    assert bool((hits.scores.diff(dim=1) <= 0).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.01, 0.5])
def test_approximate_search_keeps_to_filters_and_exclusions(kind, share):
    vectors, asked = random(2000, seed=4), random(8, seed=5)
    index = Approximate(vectors, AnnOptions(kind=kind))
    allow = torch.rand(2000, generator=torch.Generator().manual_seed(6)) < share
    first = Exact(vectors).search(asked, 5, allow=allow).places
    hits = index.search(asked, 5, exclude=jagged(first.tolist()), allow=allow)
    there = hits.places >= 0
    assert bool(there.any(1).all())
    assert bool(allow[hits.places[there]].all())
    assert not any(set(a) & set(b) for a, b in zip(first.tolist(), hits.places.tolist(), strict=True))


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_what_is_read_back_finds_the_same(kind, tmp_path):
    vectors, asked = random(600, seed=7), random(6, seed=8)
    index = Exact(vectors) if kind is None else Approximate(vectors, AnnOptions(kind=kind))
    store.write(index, tmp_path)
    again = store.read(tmp_path)
    assert (type(again), again.is_exact, len(again)) == (type(index), index.is_exact, 600)
    one, other = index.search(asked, 7), again.search(asked, 7)
    assert torch.equal(one.places, other.places)
    assert torch.equal(one.scores, other.scores)
    assert not list(tmp_path.glob("*.pkl"))


def test_vectors_are_mapped_and_not_read(tmp_path):
    store.write(Exact(random(100, 8)), tmp_path)
    before = store.read(tmp_path, verify=False)
    at = (tmp_path / store.VECTORS).stat().st_size - 100 * 8 * 4  # where the header ends
    with (tmp_path / store.VECTORS).open("r+b") as file:
        file.seek(at)
        file.write(np.float32(7.0).tobytes())
    assert float(before.vectors[0, 0]) == 7.0


def test_a_changed_or_missing_file_is_refused_by_its_hash(tmp_path):
    store.write(Approximate(random(300), AnnOptions(kind="ivf")), tmp_path)
    with (tmp_path / store.FAISS).open("r+b") as file:
        file.seek(200)
        file.write(b"\x07")
    with pytest.raises(BundleError, match=r"items\.faiss differs from what was written\. Build the index again"):
        store.read(tmp_path)
    (tmp_path / store.FAISS).unlink()
    with pytest.raises(BundleError, match=r"items\.faiss is missing"):
        store.read(tmp_path)
    (tmp_path / store.MANIFEST).write_text('{"format": 9}')
    with pytest.raises(BundleError, match="has format 9; this polyrec reads 1"):
        store.read(tmp_path)
    (tmp_path / store.MANIFEST).unlink()
    with pytest.raises(BundleError, match="is no index"):
        store.read(tmp_path)


def test_a_faiss_file_of_other_vectors_is_refused(tmp_path):
    one, other = Approximate(random(300), AnnOptions(kind="flat")), random(200)
    one.write(tmp_path / "a.faiss")
    with pytest.raises(DataError, match=r"indexes 300 vectors of 16 numbers, beside it lie \[200, 16\]"):
        Approximate.read(tmp_path / "a.faiss", other, AnnOptions(kind="flat"))
    (tmp_path / "a.faiss").write_bytes(b"nothing")
    with pytest.raises(DataError, match="is no whole faiss index"):
        Approximate.read(tmp_path / "a.faiss", other, AnnOptions(kind="flat"))


def test_a_retriever_of_ones_own_cannot_be_saved(tmp_path):
    with pytest.raises(BundleError, match="a Mine cannot be saved"):
        store.write(type("Mine", (), {})(), tmp_path)


@pytest.mark.parametrize("make", [Exact, lambda vectors: Approximate(vectors, AnnOptions(kind="flat"))])
def test_what_cannot_be_searched_is_refused_in_words(make):
    index = make(random(10, 4))
    with pytest.raises(ConfigError, match="k = 0: a search finds at least 1 item"):
        index.search(random(2, 4), 0)
    with pytest.raises(DataError, match="this index holds vectors of 4 numbers"):
        index.search(random(2, 5), 1)
    with pytest.raises(DataError, match="1 of 2 queries hold NaN"):
        index.search(torch.tensor([[torch.nan, 0, 0, 0], [0, 0, 0, 0]]), 1)
    with pytest.raises(DataError, match="exclude has 1 rows for 2 queries"):
        index.search(random(2, 4), 1, exclude=jagged([[1]]))
    with pytest.raises(DataError, match="exclude names place 10; the index has 10 items"):
        index.search(random(1, 4), 1, exclude=jagged([[10]]))
    with pytest.raises(DataError, match="one True or False for each of the 10 items"):
        index.search(random(1, 4), 1, allow=torch.ones(9, dtype=torch.bool))
    with pytest.raises(DataError, match="an index needs at least one item"):
        make(random(0, 4))
    with pytest.raises(DataError, match="1 of 2 item vectors hold NaN"):
        make(torch.tensor([[torch.nan, 1.0], [0.0, 1.0]]))


def test_a_product_quantiser_needs_a_divisor_and_enough_items():
    with pytest.raises(ConfigError, match="bytes = 3 must divide the vectors' width, 16"):
        Approximate(random(300), AnnOptions(kind="pq", bytes=3))
    with pytest.raises(ConfigError, match="at least 256 items"):
        Approximate(random(30), AnnOptions(kind="pq"))


def test_without_faiss_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(NotReadyError, match=r"pip install 'polyrec\[ann\]'"):
        Approximate(random(30), AnnOptions())
