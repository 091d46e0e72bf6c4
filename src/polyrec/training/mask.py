"""Known ids shown as out of vocabulary, so that the row of unseen ids learns what to answer."""

from dataclasses import replace

import torch

from polyrec.batch import Batch, Jagged
from polyrec.distributed import world
from polyrec.distributed.world import pieces
from polyrec.shapes import Int, Tensor
from polyrec.training.seed import derive


def mask_ids(batch: Batch, share: float, seed: int, step: int) -> Batch:
    """Each id becomes 0 with probability `share`; which ones depends on (seed, step) and nothing else.

    Where several processes have their rows of a batch, on the ids of the whole batch.

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
    counts = world().counts(len(ids))
    hidden = torch.rand((sum(counts), *ids.shape[1:]), generator=generator) < share
    hidden = pieces(hidden, counts)[world().rank]
    return ids.masked_fill(hidden.to(ids.device), 0)
