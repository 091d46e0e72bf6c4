"""Known ids shown as out of vocabulary, so that the row of unseen ids learns what to answer."""

from dataclasses import replace

import torch

from polyrec.batch import Batch, Jagged
from polyrec.shapes import Int, Tensor
from polyrec.training.seed import derive


def mask_ids(batch: Batch, share: float, seed: int, step: int) -> Batch:
    """Each id becomes 0 with probability `share`; which ones depends on (seed, step) and nothing else.

    Example:
        >>> from polyrec.batch import Layout
        >>> none, ids = torch.zeros(2, 0), torch.full((2, 3), 7)
        >>> batch = Batch(Layout((), ()), ids, none, none, none, none, none, none)
        >>> mask_ids(batch, 0.999999, 0, 0).ids.tolist()
        [[0, 0, 0], [0, 0, 0]]
    """
    if share == 0.0:
        return batch
    generator = torch.Generator().manual_seed(derive(seed, "mask", step))
    sequences = {
        name: Jagged(_masked(one.values, share, generator), one.offsets) for name, one in batch.sequences.items()
    }
    return replace(batch, ids=_masked(batch.ids, share, generator), sequences=sequences)


def _masked(ids: Int[Tensor, "*any"], share: float, generator: torch.Generator) -> Int[Tensor, "*any"]:
    hidden = torch.rand(ids.shape, generator=generator) < share
    return ids.masked_fill(hidden.to(ids.device), 0)
