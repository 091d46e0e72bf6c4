import pytest
import torch

from polyrec.errors import ConfigError
from polyrec.testing import example_layout, random_batch


def test_random_batches_fit_their_layout_and_repeat():
    layout = example_layout(4)
    batch = random_batch(layout, 200, seed=1).check()
    again = random_batch(layout, 200, seed=1)
    assert torch.equal(batch.ids, again.ids)
    assert torch.equal(batch.sequences["tags"].values, again.sequences["tags"].values)
    assert not torch.equal(batch.ids, random_batch(layout, 200, seed=2).ids)


def test_random_labels_keep_to_the_funnel_and_some_are_missing():
    batch = random_batch(example_layout(), 500)
    assert not ((batch.label("buy") == 1) & (batch.label("click") == 0) & batch.observed.all(1)).any()
    assert 0.05 < (~batch.observed).float().mean() < 0.15
    assert not batch.labels[~batch.observed].any()


def test_unknown_scenarios_come_in_the_share_asked_for():
    batch = random_batch(example_layout(), 1000, unknown=0.3)
    assert 0.25 < (batch.scenario == -1).float().mean() < 0.35


def test_negative_rows_are_refused():
    with pytest.raises(ConfigError, match=r"rows = -1"):
        random_batch(example_layout(), -1)


def test_sequences_and_vectors_may_be_left_out():
    layout = example_layout(sequences=False, vectors=False)
    batch = random_batch(layout, 3)
    assert not batch.sequences
    assert not batch.vectors
