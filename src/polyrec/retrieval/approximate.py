"""Approximate search with faiss (the `ann` extra): flat, IVF, HNSW and PQ behind the face of `Retriever`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge

from polyrec.batch import Jagged
from polyrec.declare import STRICT
from polyrec.errors import ConfigError, DataError, NotReadyError
from polyrec.retrieval.exact import Exact, padded
from polyrec.retrieval.hits import NOTHING, Hits, check_search, check_vectors
from polyrec.shapes import Bool, Float, Int, Tensor

Kind = Literal["flat", "ivf", "hnsw", "pq"]
NARROW = 0.05  # share of allowed items below which searching them all is faster and exact
ADDED = 65_536  # vectors at a time
PQ_ITEMS = 256  # that pq learns its codes from, at least
PER_LIST = 48  # vectors that faiss learns an inverted list from
Count = Annotated[int, Ge(1)]


@dataclass(frozen=True, slots=True)
class AnnOptions:
    """How an approximate index is built and searched; None: chosen by the number of items."""

    __pydantic_config__ = STRICT
    kind: Kind = "ivf"
    lists: Count | None = None  # of ivf and pq: 4 sqrt(N)
    probes: Count | None = None  # lists that a query looks at: one in 32, at least 64
    links: Count = 32  # of a node in hnsw
    effort: Count = 128  # nodes that an hnsw search keeps
    bytes: Count | None = None  # of a vector's code in pq: a quarter of its width
    refine: Count | None = None  # candidates a hit that are scored exactly: 1 in flat and hnsw, 2 in ivf, 10 in pq


class Approximate:
    """A faiss index over the same vectors, whose candidates are scored exactly.

    The vectors are kept beside the index: candidates (`refine` times k) get their true inner product, and a
    filter that leaves fewer than one item in twenty is searched exactly.

    Args:
        vectors: the items.
        options: kind and sizes.
        index: a faiss index of these vectors that was built before.

    Raises:
        NotReadyError: faiss is not installed.
        ConfigError: sizes that do not fit the vectors.
    """

    def __init__(self, vectors: Float[Tensor, "N D"], options: AnnOptions = AnnOptions(), index: Any = None) -> None:
        self.vectors = check_vectors(vectors)
        self.options = options
        self.index = _built(self.vectors, options) if index is None else index
        self._exact = Exact(self.vectors)

    @property
    def is_exact(self) -> bool:
        """Only flat is."""
        return self.options.kind == "flat"

    @property
    def width(self) -> int:
        """D."""
        return self.vectors.shape[1]

    def __len__(self) -> int:
        return self.vectors.shape[0]

    @torch.no_grad()
    def search(
        self,
        queries: Float[Tensor, "B D"],
        k: int,
        *,
        exclude: Jagged | None = None,
        allow: Bool[Tensor, "N"] | None = None,
    ) -> Hits:
        """See `Retriever.search`; fewer than k are found where the lists that were looked at hold fewer."""
        check_search(queries, k, exclude, allow, width=self.width, items=len(self))
        if not len(queries):
            return Hits.none(0, k)
        if allow is not None and int(allow.sum()) < NARROW * len(self):
            return self._exact.search(queries, k, exclude=exclude, allow=allow)
        most = int(exclude.lengths.max()) if exclude is not None else 0
        wanted = min(k * self._refine() + most, len(self))
        _, found = self.index.search(_plain(queries), wanted, params=self._parameters(allow))
        places = torch.from_numpy(found)
        hidden = places == NOTHING
        if exclude is not None:
            hidden |= _among(places, exclude, len(self))
        scores = self._scores(queries, places).masked_fill_(hidden, -torch.inf)
        best, at = scores.topk(min(k, wanted), 1)
        return padded(best, places.gather(1, at), k)

    def write(self, path: Path) -> None:
        """The faiss index in faiss's own format; the vectors are not in it (but for flat and hnsw)."""
        _faiss().write_index(self.index, str(path))

    @classmethod
    def read(cls, path: Path, vectors: Float[Tensor, "N D"], options: AnnOptions) -> "Approximate":
        """What `write` wrote, memory-mapped where faiss can, over its vectors.

        Raises:
            DataError: the file is damaged, or an index of other vectors.
        """
        faiss = _faiss()
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP if options.kind in ("ivf", "pq") else 0)
        except RuntimeError as reason:
            raise DataError(f"{path} is no whole faiss index: {reason}. Build the index again.") from reason
        if (index.ntotal, index.d) != tuple(vectors.shape):
            raise DataError(
                f"{path} indexes {index.ntotal} vectors of {index.d} numbers, beside it lie {list(vectors.shape)}. "
                "Build the index again."
            )
        return cls(vectors, options, index)

    def _scores(self, queries: Tensor, places: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """True inner products of candidates."""
        rows = [self.vectors[place.clamp(min=0)] @ query for query, place in zip(queries, places, strict=True)]
        return torch.stack(rows)

    def _refine(self) -> int:
        return self.options.refine or {"flat": 1, "hnsw": 1, "ivf": 2, "pq": 10}[self.options.kind]

    def _parameters(self, allow: Tensor | None) -> Any:
        faiss, given = _faiss(), {}
        if allow is not None:
            given["sel"] = faiss.IDSelectorBatch(torch.nonzero(allow)[:, 0].numpy())
        if self.options.kind == "flat":
            return faiss.SearchParameters(**given)
        if self.options.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=self.options.effort, **given)
        probes = self.options.probes or max(64, self.index.nlist // 32)
        return faiss.SearchParametersIVF(nprobe=min(probes, self.index.nlist), **given)


def _built(vectors: Tensor, options: AnnOptions) -> Any:
    faiss, (count, width) = _faiss(), vectors.shape
    index = faiss.index_factory(width, _recipe(count, width, options), faiss.METRIC_INNER_PRODUCT)
    plain = _plain(vectors)
    if not index.is_trained:
        inverted = faiss.extract_index_ivf(index)
        inverted.cp.seed, inverted.cp.niter = 0, 10
        learned = np.random.default_rng(0).permutation(count)[: max(PER_LIST * inverted.nlist, 10_000)]
        faiss.omp_set_num_threads(torch.get_num_threads())
        inverted.cp.min_points_per_centroid = 1  # small pools are a use, not a mistake
        index.train(plain[np.sort(learned)])
    for start in range(0, count, ADDED):
        index.add(plain[start : start + ADDED])
    return index


def fitting(counts: Sequence[int], options: AnnOptions | None, width: int | None = None) -> None:
    """Refuse sizes that no index can be built of, before there are vectors.

    Args:
        counts: of the items, by shard.
        options: kind and sizes; None: exact search, which takes all.
        width: of the vectors, once it is known.

    Raises:
        ConfigError: pq, and a shard of too few items, or codes that do not divide the width.
    """
    if options is None or options.kind != "pq":
        return
    if min(counts, default=PQ_ITEMS) < PQ_ITEMS:
        where = f"a shard of {len(counts)} has" if len(counts) > 1 else "there are"
        fewer = ", fewer shards" if len(counts) > 1 else ""
        raise ConfigError(
            f"pq needs at least {PQ_ITEMS} items to learn its codes from; {where} {min(counts)}. "
            f"Use kind = 'flat'{fewer}."
        )
    size = options.bytes or (1 if width is None else max(1, width // 4))
    if width is not None and width % size:
        raise ConfigError(f"pq: bytes = {size} must divide the vectors' width, {width}. Choose a divisor of it.")


def _recipe(count: int, width: int, options: AnnOptions) -> str:
    """What faiss's index factory is asked for."""
    lists = min(options.lists or max(1, int(4 * count**0.5)), count)
    if options.kind == "flat":
        return "Flat"
    if options.kind == "hnsw":
        return f"HNSW{options.links},Flat"
    if options.kind == "ivf":
        return f"IVF{lists},SQ8"
    fitting([count], options, width)
    size = options.bytes or max(1, width // 4)
    return f"IVF{lists},PQ{size}x8np"  # np: without the slow search for an order of codes that is not used here


def _among(places: Int[Tensor, "B K"], exclude: Jagged, items: int) -> Bool[Tensor, "B K"]:
    """Which of the places are excluded for their row."""
    row = torch.arange(len(exclude)).repeat_interleave(exclude.lengths.long())
    mine = torch.arange(len(places))[:, None] * items + places
    return torch.isin(mine, row * items + exclude.values.long())


def _plain(vectors: Tensor) -> np.ndarray:
    found: np.ndarray = vectors.detach().float().contiguous().cpu().numpy()
    return found


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as reason:
        raise NotReadyError(
            "approximate search needs faiss, which is not installed: pip install 'polyrec[ann]'. "
            "Exact search needs nothing."
        ) from reason
    return faiss
