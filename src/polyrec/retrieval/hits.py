"""What a search finds, and what every way of searching offers."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from polyrec.batch import Jagged
from polyrec.errors import ConfigError, DataError
from polyrec.shapes import Bool, Float, Int, Tensor

NOTHING = -1  # the place of a hit that was not found


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """The K best items of each query, best first; place -1 and score -inf where fewer than K were found."""

    places: Int[Tensor, "B K"]
    scores: Float[Tensor, "B K"]

    def __len__(self) -> int:
        return self.places.shape[0]

    @classmethod
    def none(cls, queries: int, k: int) -> "Hits":
        """Nothing found."""
        return cls(torch.full((queries, k), NOTHING), torch.full((queries, k), -torch.inf))


@runtime_checkable
class Retriever(Protocol):
    """Search among N item vectors by inner product."""

    @property
    def is_exact(self) -> bool:
        """Whether the hits are the true best ones, always."""
        ...

    @property
    def width(self) -> int:
        """D."""
        ...

    def __len__(self) -> int: ...

    def search(
        self,
        queries: Float[Tensor, "B D"],
        k: int,
        *,
        exclude: Jagged | None = None,
        allow: Bool[Tensor, "N"] | None = None,
    ) -> Hits:
        """The k items of largest inner product with each query.

        Args:
            queries: user vectors.
            k: hits a query.
            exclude: places of items that a query must not find, a row a query; each at most once.
            allow: items that may be found, the same for all queries; all where None.

        Raises:
            DataError: queries of another width, or not numbers; exclusions of another number of rows.
            ConfigError: k is less than 1.
        """
        ...


def check_search(
    queries: Tensor, k: int, exclude: Jagged | None, allow: Tensor | None, *, width: int, items: int
) -> None:
    """Refuse a search that cannot be made; see `Retriever.search`."""
    if k < 1:
        raise ConfigError(f"k = {k}: a search finds at least 1 item.")
    if queries.dim() != 2 or queries.shape[1] != width:
        raise DataError(
            f"queries have shape {list(queries.shape)}; this index holds vectors of {width} numbers. "
            "Search with the model that the index was built with."
        )
    bad = int((~queries.isfinite()).any(1).sum())
    if bad:
        raise DataError(f"{bad} of {len(queries)} queries hold NaN or infinity. Look at the model that made them.")
    if exclude is not None and len(exclude) != len(queries):
        raise DataError(f"exclude has {len(exclude)} rows for {len(queries)} queries: give one row a query.")
    if exclude is not None and len(exclude.values):
        low, high = int(exclude.values.min()), int(exclude.values.max())
        if low < 0 or high >= items:
            raise DataError(f"exclude names place {low if low < 0 else high}; the index has {items} items, from 0 on.")
    if allow is not None and (allow.dtype != torch.bool or allow.shape != (items,)):
        raise DataError(
            f"allow is {allow.dtype} of shape {list(allow.shape)}; it must be one True or False for each of "
            f"the {items} items."
        )


def check_vectors(vectors: Tensor) -> Float[Tensor, "N D"]:
    """Item vectors as float32 in one piece.

    Raises:
        DataError: no vectors, or some that are not numbers.
    """
    if vectors.dim() != 2 or not vectors.shape[0] or not vectors.shape[1]:
        raise DataError(f"item vectors have shape {list(vectors.shape)}: an index needs at least one item, [N, D].")
    if not bool(torch.isfinite(vectors.sum())) and not bool(vectors.isfinite().all()):
        bad = int((~vectors.isfinite()).any(1).sum())
        raise DataError(f"{bad} of {len(vectors)} item vectors hold NaN or infinity. Look at the model that made them.")
    return vectors.detach().float().contiguous()
