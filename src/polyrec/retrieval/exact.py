"""Exact search: every inner product is computed, block by block."""

from collections.abc import Iterator

import torch

from polyrec.batch import Jagged
from polyrec.retrieval.hits import NOTHING, Hits, check_search, check_vectors
from polyrec.retrieval.order import largest
from polyrec.shapes import Bool, Float, Int, Tensor

ITEMS = 131_072  # in a block of scores
QUERIES = 64
GROUP = 64  # items whose best score stands for them
Found = tuple[Tensor, Tensor]  # scores, places


class Exact:
    """Blocked matrix multiplication; memory does not grow with items times queries.

    Of each group of 64 neighbouring items only the best score is sorted at first: the k best items lie in the
    k groups whose best scores are largest. So selection costs little beside the multiplication.

    Example:
        >>> index = Exact(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]))
        >>> hits = index.search(torch.tensor([[1.0, 0.0]]), k=2)
        >>> hits.places.tolist(), hits.scores.tolist(), index.is_exact
        ([[2, 0]], [[2.0, 1.0]], True)
        >>> seen = Jagged(torch.tensor([2]), torch.tensor([0, 1]))
        >>> index.search(torch.tensor([[1.0, 0.0]]), k=2, exclude=seen).places.tolist()
        [[0, 1]]
    """

    is_exact = True

    def __init__(self, vectors: Float[Tensor, "N D"]) -> None:
        self.vectors = check_vectors(vectors)

    def __len__(self) -> int:
        return self.vectors.shape[0]

    @property
    def width(self) -> int:
        """D."""
        return self.vectors.shape[1]

    @torch.no_grad()
    def search(
        self,
        queries: Float[Tensor, "B D"],
        k: int,
        *,
        exclude: Jagged | None = None,
        allow: Bool[Tensor, "N"] | None = None,
    ) -> Hits:
        """See `Retriever.search`; equal scores come in the order of their places."""
        check_search(queries, k, exclude, allow, width=self.width, items=len(self))
        vectors, kept = self.vectors, None
        if allow is not None:
            kept = torch.nonzero(allow)[:, 0]
            vectors = vectors.index_select(0, kept)
            exclude = None if exclude is None else within(exclude, kept, len(self))
        if not len(vectors) or not len(queries):
            return Hits.none(len(queries), k)
        blocks = [
            _block(queries[at : at + QUERIES].to(vectors.dtype), vectors, k, _rows(exclude, at, QUERIES))
            for at in range(0, len(queries), QUERIES)
        ]
        scores, places = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        hits = padded(scores, places, k)
        if kept is None:
            return hits
        return Hits(torch.where(hits.places < 0, hits.places, kept[hits.places.clamp(min=0)]), hits.scores)


def padded(scores: Float[Tensor, "B J"], places: Int[Tensor, "B J"], k: int) -> Hits:
    """Hits of exactly k columns; what has no score has no place."""
    missing = k - scores.shape[1]
    if missing > 0:
        nothing = Hits.none(len(scores), missing)
        scores, places = torch.cat([scores, nothing.scores], 1), torch.cat([places, nothing.places], 1)
    return Hits(torch.where(scores.isneginf(), torch.full_like(places, NOTHING), places), scores)


def within(exclude: Jagged, kept: Int[Tensor, "K"], items: int) -> Jagged:
    """Excluded places as places among the kept items; those of other items are dropped."""
    place = torch.full((items,), NOTHING)
    place[kept] = torch.arange(len(kept))
    values = place[exclude.values.long()]
    inside = values >= 0
    ends = torch.cat([torch.zeros(1, dtype=torch.long), torch.cumsum(inside, 0)])
    return Jagged(values[inside], ends[exclude.offsets.long()])


def _rows(exclude: Jagged | None, start: int, count: int) -> tuple[Tensor, Tensor] | None:
    """Row and place of everything that some queries must not find."""
    if exclude is None or not len(exclude.values):
        return None
    offsets = exclude.offsets[start : start + count + 1].long()
    row = torch.arange(len(offsets) - 1).repeat_interleave(offsets[1:] - offsets[:-1])
    return row, exclude.values[int(offsets[0]) : int(offsets[-1])].long()


def _block(queries: Tensor, vectors: Tensor, k: int, hidden: tuple[Tensor, Tensor] | None) -> Found:
    """The best of all items for a few queries."""
    parts = list(_parts(queries, vectors, k, hidden))
    scores, places = (torch.cat(one, 1) for one in zip(*parts, strict=True))
    if len(parts) == 1:
        return scores, places
    best, at = largest(scores, min(k, scores.shape[1]))
    return best, places.gather(1, at)


def _parts(queries: Tensor, vectors: Tensor, k: int, hidden: tuple[Tensor, Tensor] | None) -> Iterator[Found]:
    for start in range(0, len(vectors), ITEMS):
        part = vectors[start : start + ITEMS]
        groups = -(-len(part) // GROUP)
        scores = queries.new_empty(len(queries), groups * GROUP)
        scores[:, len(part) :] = -torch.inf
        torch.mm(queries, part.T, out=scores[:, : len(part)])
        if hidden is not None:
            row, place = hidden
            here = (place >= start) & (place < start + len(part))
            scores[row[here], place[here] - start] = -torch.inf
        best, place = _best(scores, groups, min(k, len(part)))
        yield best, place + start


def _best(scores: Float[Tensor, "B G"], groups: int, k: int) -> Found:
    """The k largest of each row, by way of the groups that hold them; of equal groups the first ones."""
    if groups <= 2 * k:
        return largest(scores, k)
    every = torch.unflatten(scores, 1, (groups, GROUP))
    group = largest(every.amax(2), k)[1].sort(1).values  # [B, k]
    inside = every.gather(1, group[..., None].expand(-1, -1, GROUP)).flatten(1)  # [B, k*GROUP]
    best, at = largest(inside, k)
    return best, group.gather(1, at // GROUP) * GROUP + at % GROUP
