"""Showing known ids as unknown now and then, so that the row for unknown ids learns what to answer."""

from dataclasses import replace

import torch

from polyrec.batch import Batch


def mask_ids(batch: Batch, share: float, seed: tuple[int, int]) -> Batch:
    """The batch with each categorical id replaced by 0 (out of vocabulary) with probability `share`.

    A table's row 0 is otherwise never trained, and an id seen once or twice is learned by heart. The draw
    depends on (seed, step) alone, so a resumed run makes the same one.
    """
    if share == 0.0 or not batch.ids.numel():
        return batch
    generator = torch.Generator(device=batch.ids.device).manual_seed(seed[0] * 1_000_003 + seed[1])
    hidden = torch.rand(batch.ids.shape, generator=generator, device=batch.ids.device) < share
    return replace(batch, ids=batch.ids.masked_fill(hidden, 0))
