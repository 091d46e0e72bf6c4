"""Shards of items, each with a retriever of its own, that answer as one."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch

from polyrec.batch import Jagged
from polyrec.errors import DataError
from polyrec.retrieval.exact import padded
from polyrec.retrieval.hits import NOTHING, Hits, Retriever, check_search
from polyrec.retrieval.order import largest
from polyrec.shapes import Bool, Float, Tensor


class Sharded:
    """Search in every shard, and of what they find the k best.

    Places are those of all items one after the other: the first shard's from 0, the second's behind them. Over exact
    shards the hits are those of one exact search, equal scores in the order of their places; over approximate ones
    each shard gives its k nearest, so no fewer of the true ones are found than in the shards alone.

    Args:
        shards: retrievers of vectors of one width, in the order of the items.

    Raises:
        DataError: no shards, or vectors of several widths.

    Example:
        >>> from polyrec.retrieval.exact import Exact
        >>> vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
        >>> index = Sharded([Exact(vectors[:1]), Exact(vectors[1:])])
        >>> hits = index.search(torch.tensor([[1.0, 0.0]]), k=2)
        >>> hits.places.tolist(), hits.scores.tolist(), index.is_exact
        ([[2, 0]], [[2.0, 1.0]], True)
    """

    def __init__(self, shards: Sequence[Retriever]) -> None:
        widths = sorted({one.width for one in shards})
        if len(widths) != 1:
            raise DataError(f"shards with vectors of {widths or 'no'} numbers. Give at least one, all of one width.")
        self.shards = tuple(shards)
        self._edges = (0, *accumulate(len(one) for one in shards))

    @property
    def is_exact(self) -> bool:
        """Whether every shard is."""
        return all(one.is_exact for one in self.shards)

    @property
    def width(self) -> int:
        """D."""
        return self.shards[0].width

    def __len__(self) -> int:
        return self._edges[-1]

    @torch.no_grad()
    def search(
        self,
        queries: Float[Tensor, "B D"],
        k: int,
        *,
        exclude: Jagged | None = None,
        allow: Bool[Tensor, "N"] | None = None,
    ) -> Hits:
        """See `Retriever.search`."""
        check_search(queries, k, exclude, allow, width=self.width, items=len(self))
        scores, places = [], []
        for shard, (start, stop) in zip(self.shards, pairwise(self._edges), strict=True):
            hidden = None if exclude is None else _between(exclude, start, stop)
            hits = shard.search(queries, k, exclude=hidden, allow=None if allow is None else allow[start:stop])
            scores.append(hits.scores)
            places.append(torch.where(hits.places == NOTHING, hits.places, hits.places + start))
        best, at = largest(torch.cat(scores, 1), k)
        return padded(best, torch.cat(places, 1).gather(1, at), k)


def shares(items: int, shards: int) -> list[int]:
    """The items of each shard: near-equal, and none empty.

    Example:
        >>> shares(10, 3), shares(2, 3)
        ([4, 3, 3], [1, 1])
    """
    shards = min(shards, items)
    return [items // shards + (place < items % shards) for place in range(shards)]


def _between(exclude: Jagged, start: int, stop: int) -> Jagged:
    """The excluded places of one shard, counted from its first."""
    values = exclude.values.long()
    inside = (values >= start) & (values < stop)
    ends = torch.cat([torch.zeros(1, dtype=torch.long), torch.cumsum(inside, 0)])
    return Jagged(values[inside] - start, ends[exclude.offsets.long()])
