"""Recall, hit rate, NDCG, reciprocal rank and coverage against numbers by hand and a formula item by item."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.errors import DataError
from polyrec.metrics.topk import by_query, coverage, estimates, found


def test_numbers_by_hand():
    # Row 0 ranks a b c d, relevant b and e: one of two in the first 3, at rank 2.
    # Row 1 ranks e d a b, relevant a: at rank 3.
    # Row 2 ranks two items only, relevant b c d: none of them.
    a, b, c, d, e = range(5)
    places = np.array([[a, b, c, d], [e, d, a, b], [a, e, -1, -1]])
    relevant, offsets = np.array([b, e, a, b, c, d]), np.array([0, 2, 3, 6])
    values = by_query(found(places, relevant, offsets), np.diff(offsets), ks=[2, 3])
    assert values["recall@2"].tolist() == [0.5, 0.0, 0.0]
    assert values["recall@3"].tolist() == [0.5, 1.0, 0.0]
    assert values["hit@3"].tolist() == [1.0, 1.0, 0.0]
    assert values["mrr@3"].tolist() == [1 / 2, 1 / 3, 0.0]
    assert values["mrr@2"].tolist() == [1 / 2, 0.0, 0.0]
    # ideal DCG of two relevant items: 1 + 1/log2(3); of one: 1
    assert values["ndcg@3"] == pytest.approx([(1 / math.log2(3)) / (1 + 1 / math.log2(3)), 1 / math.log2(4), 0.0])
    assert coverage(places, items=10, ks=[1, 4]) == {"coverage@1": 0.2, "coverage@4": 0.5}


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(0, 6), items=st.integers(1, 12), k=st.integers(1, 14), seed=st.integers(0, 999))
def test_equals_a_formula_item_by_item(rows, items, k, seed):
    rng = np.random.default_rng(seed)
    ranked = [rng.permutation(items)[: rng.integers(0, items + 1)].tolist() for _ in range(rows)]
    wanted = [rng.permutation(items)[: rng.integers(1, items + 1)].tolist() for _ in range(rows)]
    places = np.array([row + [-1] * (items - len(row)) for row in ranked], dtype=np.int64).reshape(rows, items)
    relevant = np.array([one for row in wanted for one in row], dtype=np.int64)
    offsets = np.cumsum([0, *(len(row) for row in wanted)])
    values = by_query(found(places, relevant, offsets), np.diff(offsets), ks=[k])
    for row in range(rows):
        gains = [1.0 if item in wanted[row] else 0.0 for item in ranked[row][:k]]
        ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(wanted[row]))))
        first = next((1 / (rank + 1) for rank, gain in enumerate(gains) if gain), 0.0)
        assert values[f"recall@{k}"][row] == pytest.approx(sum(gains) / len(wanted[row]))
        assert values[f"hit@{k}"][row] == float(any(gains))
        dcg = sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))
        assert values[f"ndcg@{k}"][row] == pytest.approx(dcg / ideal)
        assert values[f"mrr@{k}"][row] == pytest.approx(first)


def test_a_perfect_ranking_has_an_ndcg_of_one_and_a_recall_of_k_over_its_relevant_items():
    hits = np.ones((1, 10), dtype=bool)
    values = by_query(hits, np.array([30]), ks=[10])
    assert values["ndcg@10"][0] == pytest.approx(1.0)
    assert values["recall@10"][0] == pytest.approx(1 / 3)


def test_undefined_has_a_reason_and_one_user_no_interval():
    none = estimates({"recall@5": np.zeros(0)}, {"coverage@5": 0.0})
    assert (none["recall@5"].value, none["recall@5"].note) == (None, "no user has a relevant item")
    assert (none["coverage@5"].value, none["coverage@5"].note) == (None, "nobody was asked for")
    one = estimates({"recall@5": np.array([0.5])}, {"coverage@5": 0.1}, "2 users had none")
    assert (one["recall@5"].value, one["recall@5"].low) == (0.5, None)
    assert one["recall@5"].note == "2 users had none; no interval: one user"
    assert one["coverage@5"].value == 0.1


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        one = estimates({"hit@1": (rng.random(200) < 0.3).astype(float)}, {})["hit@1"]
        inside += one.low <= 0.3 <= one.high
    assert 0.92 < inside / 400 < 0.98


def test_rows_of_another_number_are_refused():
    with pytest.raises(DataError, match="2 rows of hits, 1 rows of relevant items"):
        found(np.zeros((2, 1), dtype=int), np.array([0]), np.array([0, 1]))
