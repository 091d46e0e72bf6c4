import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from polyrec.metrics.ranked import ordered_bits, rank, scores_of

floats = st.floats(width=32, allow_nan=False)


@given(st.lists(floats, min_size=1, max_size=30))
def test_bits_sort_as_their_scores_do_and_give_them_back(values):
    scores = np.array(values, dtype=np.float32)
    bits = ordered_bits(scores)
    assert (scores_of(bits) == scores).all()
    assert (np.sign(np.subtract.outer(bits.astype(np.int64), bits.astype(np.int64))) ==
            (scores[:, None] > scores).astype(int) - (scores[:, None] < scores).astype(int)).all()  # fmt: skip


@given(st.lists(st.tuples(floats, st.booleans(), st.integers(0, 2**31 - 1)), min_size=1, max_size=30))
def test_ranking_loses_no_row_and_keeps_what_belongs_together(rows):
    scores = np.array([one[0] for one in rows], dtype=np.float32)
    labels = np.array([one[1] for one in rows], dtype=bool)
    clusters = np.array([one[2] for one in rows], dtype=np.int64)
    (found,) = rank(scores, labels, clusters).blocks()
    expected = sorted(zip((scores + np.float32(0)).tolist(), labels.tolist(), clusters.tolist(), strict=True))
    assert list(zip(found.scores.tolist(), found.labels.tolist(), found.clusters.tolist(), strict=True)) == expected
    assert found.sizes.sum() == len(rows)
    groups = np.repeat(np.arange(len(found.sizes)), found.sizes)
    assert len(set(groups.tolist())) == len(set((scores + np.float32(0)).tolist()))


def test_no_rows_rank_as_no_rows():
    found = rank(np.zeros(0), np.zeros(0, dtype=bool))
    assert len(found) == 0
    assert list(found.blocks()) == []


def test_blocks_hold_every_row_and_never_split_equal_scores():
    scores = np.repeat(np.arange(9.0), 3)
    ranked = rank(scores, np.arange(27) % 2 == 0, np.arange(27))
    blocks = list(ranked.blocks(least=4))
    assert [len(one.scores) for one in blocks] == [6, 6, 6, 6, 3]
    assert [one.first for one in blocks] == [0, 6, 12, 18, 24]
    assert np.concatenate([one.scores for one in blocks]).tolist() == scores.tolist()
    assert sorted(np.concatenate([one.clusters for one in blocks]).tolist()) == list(range(27))
    assert ranked.counts(27).sum(axis=1).tolist() == [14, 13]
