from dataclasses import replace

import torch

from polyrec.batch import Jagged
from polyrec.training.mask import mask_ids


def test_about_that_share_of_the_ids_becomes_out_of_vocabulary(batch_of):
    batch = replace(batch_of(0), ids=torch.full((1000, 50), 7))
    ids = mask_ids(batch, 0.3, seed=0, step=0).ids
    assert set(ids.unique().tolist()) == {0, 7}
    assert abs((ids == 0).float().mean().item() - 0.3) < 0.01


def test_the_draw_depends_on_seed_and_step_alone(batch_of):
    batch = replace(batch_of(0), ids=torch.full((50, 20), 7))
    torch.manual_seed(1)
    first = mask_ids(batch, 0.5, seed=3, step=9).ids
    torch.manual_seed(2)
    assert torch.equal(mask_ids(batch, 0.5, seed=3, step=9).ids, first)
    assert not torch.equal(mask_ids(batch, 0.5, seed=3, step=10).ids, first)
    assert not torch.equal(mask_ids(batch, 0.5, seed=4, step=9).ids, first)


def test_sequences_are_masked_too_and_what_was_passed_stays_as_it_was(batch_of):
    jagged = Jagged(torch.full((400,), 5), torch.tensor([0, 100, 400]))
    batch = replace(batch_of(0), sequences={"seen": jagged})
    masked = mask_ids(batch, 0.5, seed=0, step=0)
    assert 0 < (masked.sequences["seen"].values == 0).sum() < 400
    assert torch.equal(masked.sequences["seen"].offsets, jagged.offsets)
    assert (jagged.values == 5).all()


def test_a_share_of_0_is_the_same_batch(batch_of):
    batch = batch_of(0)
    assert mask_ids(batch, 0.0, seed=0, step=0) is batch
