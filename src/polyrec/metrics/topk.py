"""How good the first K of a ranking are: recall, hit rate, NDCG, reciprocal rank, coverage."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyrec.errors import DataError
from polyrec.metrics.estimate import Estimate
from polyrec.shapes import Bool, Float, Int

KS = (20, 50, 100)
KINDS = ("recall", "hit", "ndcg", "mrr", "coverage")
_Z = 1.959964  # of a 95 % interval


def found(
    places: Int[np.ndarray, "B K"], relevant: Int[np.ndarray, "V"], offsets: Int[np.ndarray, "B1"]
) -> Bool[np.ndarray, "B K"]:
    """Which hits are relevant.

    Args:
        places: item numbers by rank, best first, no item twice in a row; -1 where there is none.
        relevant: item numbers, `relevant[offsets[b]:offsets[b + 1]]` those of row b, no item twice.
        offsets: B + 1 of them.

    Raises:
        DataError: another number of rows.

    Example:
        >>> found(np.array([[3, 1], [0, 2]]), np.array([1, 2, 5]), np.array([0, 1, 3])).tolist()
        [[False, True], [False, True]]
    """
    if len(offsets) != len(places) + 1:
        raise DataError(f"{len(places)} rows of hits, {len(offsets) - 1} rows of relevant items: give one for each.")
    span = np.int64(max(places.max(initial=0), relevant.max(initial=0)) + 1)
    row = np.repeat(np.arange(len(places), dtype=np.int64), np.diff(offsets))
    mine = np.arange(len(places), dtype=np.int64)[:, None] * span + places
    inside: np.ndarray = np.isin(mine, row * span + relevant) & (places >= 0)
    return inside


def by_query(
    hits: Bool[np.ndarray, "B K"], count: Int[np.ndarray, "B"], ks: Sequence[int] = KS
) -> dict[str, Float[np.ndarray, "B"]]:
    """Metrics of each ranking.

    Formula, R the relevant items of a row and rel_r whether rank r is one of them:
        recall@K = sum_{r<=K} rel_r / |R|
        hit@K    = 1 if any of the first K is relevant
        ndcg@K   = (sum_{r<=K} rel_r / log2(r+1)) / (sum_{r<=min(K,|R|)} 1 / log2(r+1))
        mrr@K    = 1 / rank of the first relevant item, 0 where that is beyond K

    Args:
        hits: as `found` gives them, at least max(ks) columns or as many as there are items.
        count: |R| by row, at least 1.
        ks: cut-offs.

    Example:
        >>> values = by_query(np.array([[False, True, True]]), np.array([4]), ks=[2])
        >>> [(name, round(float(value[0]), 4)) for name, value in values.items()]
        [('recall@2', 0.25), ('hit@2', 1.0), ('ndcg@2', 0.3869), ('mrr@2', 0.5)]
    """
    values: dict[str, Any] = {}
    discount = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    longest = max(int(count.max(initial=0)), 1)
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, longest + 2)))  # of the first 1, 2, ... ranks
    first = np.where(hits.any(1), hits.argmax(1), np.iinfo(np.int64).max - 1)
    for k in ks:
        top = hits[:, :k]
        values[f"recall@{k}"] = top.sum(1) / count
        values[f"hit@{k}"] = top.any(1).astype(np.float64)
        values[f"ndcg@{k}"] = (top * discount[:k]).sum(1) / ideal[np.minimum(k, count) - 1]
        values[f"mrr@{k}"] = np.where(first < k, 1.0 / (first + 1.0), 0.0)
    return values


def coverage(places: Int[np.ndarray, "B K"], items: int, ks: Sequence[int] = KS) -> dict[str, float]:
    """`coverage@K`: the share of the items that stand among anybody's first K.

    Example:
        >>> coverage(np.array([[0, 1], [0, 2]]), items=4, ks=[1, 2])
        {'coverage@1': 0.25, 'coverage@2': 0.75}
    """
    shares = {}
    for k in ks:
        top = places[:, :k]
        shares[f"coverage@{k}"] = len(np.unique(top[top >= 0])) / items
    return shares


def estimates(values: Mapping[str, np.ndarray], shares: Mapping[str, float], note: str = "") -> dict[str, Estimate]:
    """The mean of each metric over rows with a 95 % interval; coverage as it is.

    Rows are taken to be independent: one a user. Nothing is defined without rows; a single row has no interval.

    Example:
        >>> found = estimates({"hit@1": np.array([1.0, 0.0, 1.0, 0.0])}, {})
        >>> found["hit@1"].value, round(found["hit@1"].high, 3)
        (0.5, 1.0)
    """
    answer = {}
    for name, value in values.items():
        if not len(value):
            answer[name] = Estimate.undefined(note or "no user has a relevant item")
            continue
        mean = float(value.mean())
        if len(value) == 1:
            answer[name] = Estimate.of(mean, note="; ".join(filter(None, [note, "no interval: one user"])))
            continue
        half = _Z * float(value.std(ddof=1)) / len(value) ** 0.5
        answer[name] = Estimate.of(mean, max(0.0, mean - half), min(1.0, mean + half), note=note)
    nobody = not all(len(value) for value in values.values())
    for name, share in shares.items():
        answer[name] = Estimate.undefined(note or "nobody was asked for") if nobody else Estimate.of(share, note=note)
    return answer
