"""Shards answer what one index answers, with the same order of equal scores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.batch import Jagged
from polyrec.errors import ConfigError, DataError
from polyrec.retrieval import AnnOptions, Approximate, Exact, Retriever, Sharded, exact, store
from polyrec.retrieval.order import largest
from polyrec.retrieval.sharded import shares


def whole(rows, width, seed, most=2):
    """Vectors of small whole numbers: products are exact, and many are equal."""
    draws = np.random.default_rng(seed).integers(-most, most + 1, (rows, width))
    return torch.from_numpy(draws).float()


def jagged(rows):
    values = torch.tensor([one for row in rows for one in row], dtype=torch.int64)
    return Jagged(values, torch.tensor([0, *np.cumsum([len(row) for row in rows])]))


def one_by_one(vectors, queries, k, exclude, allow):
    """Places ordered by score in float64, then by place."""
    scores = queries.double().numpy() @ vectors.double().numpy().T
    places, best = [], []
    for row, line in enumerate(scores):
        may = [one for one in range(len(line)) if one not in exclude[row] and (allow is None or bool(allow[one]))]
        found = sorted(may, key=lambda one, line=line: (-line[one], one))[:k]
        places.append(found + [-1] * (k - len(found)))
        best.append([line[one] for one in found] + [-np.inf] * (k - len(found)))
    return places, best


@settings(max_examples=60, deadline=None)
@given(
    items=st.integers(1, 200),
    queries=st.integers(0, 6),
    shards=st.integers(1, 9),
    k=st.integers(1, 12),
    seed=st.integers(0, 999),
    filtered=st.booleans(),
    excluding=st.booleans(),
)
def test_shards_find_what_one_search_finds_and_equal_scores_come_in_the_order_of_places(
    items, queries, shards, k, seed, filtered, excluding
):
    rng = np.random.default_rng(seed)
    vectors, asked = whole(items, 3, seed), whole(queries, 3, seed + 1)
    allow = torch.from_numpy(rng.random(items) < 0.4) if filtered else None
    exclude = [sorted(rng.permutation(items)[: rng.integers(0, items + 1)].tolist()) for _ in range(queries)]
    hidden = jagged(exclude) if excluding else None
    index = Sharded([Exact(part) for part in vectors.split(shares(items, shards))])
    places, scores = one_by_one(vectors, asked, k, exclude if excluding else [[]] * queries, allow)
    for found in (index, Exact(vectors)):
        hits = found.search(asked, k, exclude=hidden, allow=allow)
        assert hits.places.tolist() == places
        assert hits.scores.tolist() == scores
    assert (len(index), index.width, index.is_exact, isinstance(index, Retriever)) == (items, 3, True, True)


@pytest.mark.parametrize(("block", "group"), [(64, 8), (100, 7), (1, 3), (1000, 4)])
def test_the_order_of_equal_scores_does_not_depend_on_blocks_and_groups(monkeypatch, block, group):
    vectors, asked = whole(700, 3, 0, most=1), whole(20, 3, 1, most=1)
    expected = one_by_one(vectors, asked, 9, [[]] * 20, None)[0]
    monkeypatch.setattr(exact, "ITEMS", block)
    monkeypatch.setattr(exact, "GROUP", group)
    assert Exact(vectors).search(asked, 9).places.tolist() == expected


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 60), k=st.integers(1, 60), seed=st.integers(0, 999), lost=st.floats(0, 1))
def test_the_largest_are_those_of_a_stable_sort(width, k, seed, lost):
    rng, k = np.random.default_rng(seed), min(k, width)
    scores = whole(5, width, seed).masked_fill_(torch.from_numpy(rng.random((5, width)) < lost), -torch.inf)
    best, at = largest(scores, k)
    expected = scores.sort(dim=1, descending=True, stable=True)
    assert torch.equal(best, expected.values[:, :k])
    there = ~best.isneginf()
    assert torch.equal(at[there], expected.indices[:, :k][there])


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw", "pq"])
def test_faiss_shards_are_merged_and_find_no_less_than_one_index(kind, tmp_path):
    generator = torch.Generator().manual_seed(0)
    vectors, asked = torch.randn(3000, 16, generator=generator), torch.randn(40, 16, generator=generator)
    options, true = AnnOptions(kind=kind), Exact(vectors).search(asked, 20)
    index = Sharded([Approximate(part, options) for part in vectors.split(shares(3000, 3))])
    hits = index.search(asked, 20)
    assert index.is_exact == (kind == "flat")
    assert torch.allclose(hits.scores, (asked[:, None] * vectors[hits.places]).sum(2), atol=1e-4)
    assert share(hits, true) >= share(Approximate(vectors, options).search(asked, 20), true) - 0.01
    seen = jagged(true.places[:, :5].tolist())
    assert not (index.search(asked, 20, exclude=seen).places[:, :, None] == true.places[:, None, :5]).any()
    store.write(index, tmp_path)
    again = store.read(tmp_path)
    assert isinstance(again, Sharded)
    assert torch.equal(again.search(asked, 20).places, hits.places)


def share(hits, true):
    both = zip(hits.places.tolist(), true.places.tolist(), strict=True)
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in both])


def test_what_cannot_be_sharded_or_searched_is_refused_in_words():
    with pytest.raises(DataError, match="shards with vectors of no numbers"):
        Sharded([])
    with pytest.raises(DataError, match=r"shards with vectors of \[3, 4\] numbers"):
        Sharded([Exact(torch.ones(1, 3)), Exact(torch.ones(1, 4))])
    index = Sharded([Exact(torch.ones(2, 3)), Exact(torch.ones(1, 3))])
    with pytest.raises(DataError, match="exclude names place 3; the index has 3 items"):
        index.search(torch.ones(1, 3), 1, exclude=jagged([[3]]))
    with pytest.raises(ConfigError, match="k = 0"):
        index.search(torch.ones(1, 3), 0)
