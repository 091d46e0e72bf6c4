"""The items of a bundle, and for each scenario a retriever of those that it may show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any
from weakref import finalize

import numpy as np
import pyarrow as pa
import torch

from polyrec import temporary
from polyrec.artifact import Bundle
from polyrec.batch import Jagged
from polyrec.data.files import Source
from polyrec.errors import BundleError, DataError, unknown
from polyrec.retrieval import build, store
from polyrec.retrieval.approximate import AnnOptions
from polyrec.retrieval.generations import Generations
from polyrec.retrieval.hits import Hits, Retriever
from polyrec.retrieval.mapped import found, open_items
from polyrec.shapes import Float, Int, Tensor

FOLDER = "index"


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """What one scenario may show: a retriever, and for each of its places the row in `ItemIndex.items`, rising."""

    retriever: Retriever
    rows: Int[Tensor, "N"]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ItemIndex:
    """Items with their features as they came, each once, and a shelf for each scenario that has any.

    Kept in a bundle's `index/` in generations, beside what the bundle's own manifest covers and under hashes of its
    own; it names the bundle that made its vectors and is refused by any other.

    Args:
        bundle: identity of the bundle.
        key: the item's column.
        items: item key and item features.
        shelves: by scenario.
        folder: where its files lie.
    """

    bundle: str
    key: str
    items: pa.Table
    shelves: Mapping[str, Shelf]
    folder: Path

    @classmethod
    def build(cls, bundle: Bundle, source: Source, ann: AnnOptions | None = None, shards: int = 1) -> "ItemIndex":
        """Vectors of every item in every scenario that it belongs to, in a temporary folder until they are saved.

        Rows are streamed twice: once for keys and scenarios, once for the items' features, whose vectors are written a
        block at a time. What is held grows with the keys of the items only, and with the index of one faiss shard.

        Args:
            bundle: a model with two towers.
            source: rows with the item key and the item features, the last of an item counts. With the scenario column,
                a row says that its scenario may show the item; without it, every scenario may show every item.
            ann: approximate search (the `ann` extra); exact where None.
            shards: into which each scenario's items are split; see `Sharded`.

        Raises:
            DataError: no items, a column is missing, a scenario is unknown, or the model has no item vectors.
            ConfigError: less than one shard.
        """
        folder = temporary.folder()
        try:
            build.write(bundle, source, folder, ann, shards)
            made = cls._read(folder, bundle, verify=False)
        except BaseException:
            temporary.remove(folder)
            raise
        finalize(made, temporary.remove, folder)
        return made

    def save(self, folder: str | Path) -> Path:
        """Write it as the next generation of a bundle's index; readers of the one before go on undisturbed."""
        return Generations(Path(folder) / FOLDER).publish(lambda new: copytree(self.folder, new, dirs_exist_ok=True))

    @classmethod
    def load(cls, folder: str | Path, bundle: Bundle, *, verify: bool = True) -> "ItemIndex":
        """The current index of a bundle, vectors and items memory-mapped.

        Raises:
            NotReadyError: the bundle has no index yet.
            BundleError: it is damaged, or its vectors were made by another bundle.
        """
        return Generations(Path(folder) / FOLDER).read(lambda found: cls._read(found, bundle, verify))

    def shelf(self, scenario: str) -> Shelf:
        """What a scenario shows.

        Raises:
            DataError: it has no items here.
        """
        if scenario not in self.shelves:
            raise DataError(
                unknown("scenario", scenario, self.shelves, "one with items in the index")
                + " Build the index with rows that say which items it may show."
            )
        return self.shelves[scenario]

    def search(
        self,
        scenario: str,
        queries: Float[Tensor, "B D"],
        k: int,
        *,
        exclude: Jagged | None = None,
        allow: Int[Tensor, "M"] | None = None,
    ) -> Hits:
        """The k best items of a scenario for each query, as rows of `items`.

        Args:
            scenario: whose shelf.
            queries: user vectors of that scenario.
            k: hits a query.
            exclude: rows of `items` that a query must not find.
            allow: rows of `items` that may be found.

        Raises:
            DataError: the scenario has no items here; see also `Retriever.search`.
        """
        shelf = self.shelf(scenario)
        hidden = None if exclude is None else _elsewhere(exclude, shelf.rows)
        mask = None
        if allow is not None:
            mask = torch.zeros(len(shelf.rows), dtype=torch.bool)
            inside = _places(allow, shelf.rows)
            mask[inside[inside >= 0]] = True
        hits = shelf.retriever.search(queries, k, exclude=hidden, allow=mask)
        rows = torch.where(hits.places < 0, hits.places, shelf.rows[hits.places.clamp(min=0)])
        return Hits(rows, hits.scores)

    def rows(self, keys: Sequence[Any] | pa.Array | pa.ChunkedArray) -> Int[Tensor, "M"]:
        """The rows of items by their keys; -1 where an item is not here."""
        return torch.from_numpy(found(self.items, self.key, keys))

    @classmethod
    def _read(cls, folder: Path, bundle: Bundle, verify: bool) -> "ItemIndex":
        told = store.manifest(folder, build.MANIFEST)
        if told["bundle"] != bundle.manifest.identity:
            raise BundleError(
                f"{folder} was made by bundle {told['bundle']}, this is {bundle.manifest.identity}: vectors of two "
                "models do not go together. Build the index again with `polyrec index`."
            )
        if verify:
            store.check(folder, told["files"], build.MANIFEST)
        shelves = {}
        for place, name in enumerate(told["scenarios"]):
            part = folder / f"{place:03d}"
            rows = torch.from_numpy(np.load(part / build.ROWS, mmap_mode="c", allow_pickle=False))
            shelves[name] = Shelf(store.read(part, verify=False), rows)
        return cls(told["bundle"], told["key"], open_items(folder), shelves, folder)


def publish(
    folder: str | Path, bundle: Bundle, source: Source, ann: AnnOptions | None = None, shards: int = 1
) -> dict[str, int]:
    """Build an index as the next generation of a bundle's; how many items each scenario shows.

    See `ItemIndex.build`.
    """
    sizes: dict[str, int] = {}
    Generations(Path(folder) / FOLDER).publish(lambda new: sizes.update(build.write(bundle, source, new, ann, shards)))
    return sizes


def _places(rows: Int[Tensor, "M"], shelf: Int[Tensor, "N"]) -> Int[Tensor, "M"]:
    """Rows of items as places of a shelf; -1 where it does not have one."""
    at = torch.searchsorted(shelf, rows).clamp(max=len(shelf) - 1)
    return torch.where(shelf[at] == rows, at, -1)


def _elsewhere(exclude: Jagged, shelf: Int[Tensor, "N"]) -> Jagged:
    """Rows of items as places of a shelf; those that it does not have are dropped."""
    values = _places(exclude.values.long(), shelf)
    inside = values >= 0
    ends = torch.cat([torch.zeros(1, dtype=torch.long), torch.cumsum(inside, 0)])
    return Jagged(values[inside], ends[exclude.offsets.long()])
