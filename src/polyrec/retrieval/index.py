"""The items of a bundle, and for each scenario a retriever of those that it may show."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from polyrec.artifact import Bundle
from polyrec.artifact.manifest import digests
from polyrec.batch import Jagged
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.errors import BundleError, DataError, unknown
from polyrec.retrieval import store
from polyrec.retrieval.approximate import AnnOptions, Approximate
from polyrec.retrieval.exact import Exact
from polyrec.retrieval.generations import Generations
from polyrec.retrieval.hits import Hits, Retriever
from polyrec.retrieval.trial import embed, towers
from polyrec.shapes import Float, Int, Tensor

FOLDER, MANIFEST, ITEMS = "index", "index.json", "items.parquet"
BLOCK = 65_536  # items encoded at a time


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """What one scenario may show: a retriever, and for each of its places the item's row in `ItemIndex.items`."""

    retriever: Retriever
    rows: Int[Tensor, "N"]


@dataclass(frozen=True, slots=True, eq=False)
class ItemIndex:
    """Items with their features as they came, each once, and a shelf for each scenario that has any.

    Kept in a bundle's `index/` in generations, beside what the bundle's own manifest covers and under hashes of its
    own; it names the bundle that made its vectors and is refused by any other.

    Args:
        bundle: identity of the bundle.
        key: the item's column.
        items: item key and item features.
        shelves: by scenario.
    """

    bundle: str
    key: str
    items: pa.Table
    shelves: Mapping[str, Shelf]

    @classmethod
    def build(cls, bundle: Bundle, source: Source, ann: AnnOptions | None = None) -> "ItemIndex":
        """Vectors of every item in every scenario that it belongs to.

        Args:
            bundle: a model with two towers.
            source: rows with the item key and the item features, the last of an item counts. With the scenario column,
                a row says that its scenario may show the item; without it, every scenario may show every item.
            ann: approximate search (the `ann` extra); exact where None.

        Raises:
            DataError: no items, a column is missing, a scenario is unknown, or the model has no item vectors.
        """
        towers(bundle.model)
        items, member = _read(bundle, source)
        shelves = {}
        for name in bundle.schema.scenarios:
            rows = np.arange(items.num_rows) if member is None else member[name]
            if len(rows):
                vectors = _vectors(bundle, items.take(pa.array(rows)), name)
                shelf = Exact(vectors) if ann is None else Approximate(vectors, ann)
                shelves[name] = Shelf(shelf, torch.from_numpy(rows))
        return cls(bundle.manifest.identity, _item_key(bundle), items, shelves)

    def save(self, folder: str | Path) -> Path:
        """Write it as the next generation of a bundle's index; readers of the one before go on undisturbed."""
        return Generations(Path(folder) / FOLDER).publish(self._write)

    @classmethod
    def load(cls, folder: str | Path, bundle: Bundle, *, verify: bool = True) -> "ItemIndex":
        """The current index of a bundle, vectors memory-mapped.

        Raises:
            NotReadyError: the bundle has no index yet.
            BundleError: it is damaged, or its vectors were made by another bundle.
        """
        return Generations(Path(folder) / FOLDER).read(lambda found: cls._read(found, bundle, verify))

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
        if scenario not in self.shelves:
            raise DataError(
                unknown("scenario", scenario, self.shelves, "one with items in the index")
                + " Build the index with rows that say which items it may show."
            )
        shelf = self.shelves[scenario]
        place = torch.full((self.items.num_rows,), -1)
        place[shelf.rows] = torch.arange(len(shelf.rows))
        hidden = None if exclude is None else _elsewhere(exclude, place)
        mask = None
        if allow is not None:
            mask = torch.zeros(len(shelf.rows), dtype=torch.bool)
            inside = place[allow]
            mask[inside[inside >= 0]] = True
        hits = shelf.retriever.search(queries, k, exclude=hidden, allow=mask)
        rows = torch.where(hits.places < 0, hits.places, shelf.rows[hits.places.clamp(min=0)])
        return Hits(rows, hits.scores)

    def rows(self, keys: Sequence[Any] | pa.Array | pa.ChunkedArray) -> Int[Tensor, "M"]:
        """The rows of items by their keys; -1 where an item is not here."""
        known = pl.DataFrame({"key": pl.Series(self.items[self.key])}).with_row_index("row")
        try:
            asked = pl.DataFrame({"key": pl.Series(keys).cast(known["key"].dtype)})
        except pl.exceptions.PolarsError as reason:
            raise DataError(f"item keys of another type than column {self.key!r} of the index: {reason}.") from reason
        found = asked.join(known, on="key", how="left", maintain_order="left")["row"].cast(pl.Int64).fill_null(-1)
        return torch.from_numpy(found.to_numpy().copy())

    def _write(self, folder: Path) -> None:
        pq.write_table(self.items, folder / ITEMS)
        names = list(self.shelves)
        for place, name in enumerate(names):
            part = folder / f"{place:03d}"
            store.write(self.shelves[name].retriever, part)
            np.save(part / "rows.npy", self.shelves[name].rows.numpy())
        told = {
            "format": store.FORMAT,
            "bundle": self.bundle,
            "key": self.key,
            "items": self.items.num_rows,
            "scenarios": names,
            "files": digests(folder),
        }
        (folder / MANIFEST).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def _read(cls, folder: Path, bundle: Bundle, verify: bool) -> "ItemIndex":
        told = store.manifest(folder, MANIFEST)
        if told["bundle"] != bundle.manifest.identity:
            raise BundleError(
                f"{folder} was made by bundle {told['bundle']}, this is {bundle.manifest.identity}: vectors of two "
                "models do not go together. Build the index again with `polyrec index`."
            )
        if verify:
            store.check(folder, told["files"], MANIFEST)
        shelves = {}
        for place, name in enumerate(told["scenarios"]):
            part = folder / f"{place:03d}"
            rows = torch.from_numpy(np.load(part / "rows.npy", allow_pickle=False))
            shelves[name] = Shelf(store.read(part, verify=False), rows)
        return cls(told["bundle"], told["key"], pq.read_table(folder / ITEMS), shelves)


def completed(rows: pa.Table, encoder: Encoder, scenario: str) -> pa.Table:
    """Rows with every column that the encoder reads: this scenario, and null for features that are not there."""
    key = encoder.schema.keys.scenario
    columns = {key: pa.array([scenario] * rows.num_rows)}
    for name in encoder.columns(labels=False):
        if name != key:
            columns[name] = rows[name] if name in rows.column_names else pa.nulls(rows.num_rows)
    return pa.table(columns)


def _vectors(bundle: Bundle, items: pa.Table, scenario: str) -> Float[Tensor, "N D"]:
    parts = []
    for start in range(0, items.num_rows, BLOCK):
        rows = completed(items.slice(start, BLOCK), bundle.encoder, scenario)
        parts.append(embed(bundle.model, "item", bundle.encoder.encode(rows, labels=False)))
    return torch.cat(parts)


def _item_key(bundle: Bundle) -> str:
    key = bundle.schema.keys.item
    if key is None:
        raise DataError("the bundle's schema names no item key: items cannot be told apart. Set [keys] item and fit.")
    return key


def _read(bundle: Bundle, source: Source) -> tuple[pa.Table, dict[str, np.ndarray] | None]:
    """Each item once, and for each scenario the rows of its items; None where the rows name no scenarios."""
    schema, key = bundle.schema, _item_key(bundle)
    names = list(dict.fromkeys([key, *(one.name for one in schema.features if one.side == "item")]))
    source = source.as_text(bundle.encoder.texts)
    source.require(names)
    scenario = schema.keys.scenario
    named = scenario in source.columns()
    found = source.scan().select([*names, scenario] if named else names).filter(pl.col(key).is_not_null()).collect()
    if not len(found):
        raise DataError(f"{', '.join(map(str, source.paths))}: no row has an item key ({key!r}). Check the files.")
    items = found.select(names).unique(subset=[key], keep="last", maintain_order=True)
    if not named:
        return _plain(items), None
    where = found.select(key, pl.col(scenario).cast(pl.String)).unique(maintain_order=True)
    for name in where[scenario].unique().to_list():
        if name not in schema.scenarios:
            raise DataError(unknown("scenario", name, schema.scenarios, "among those of the bundle"))
    row = where.join(items.select(key).with_row_index("row"), on=key, how="left", maintain_order="left")
    return _plain(items), {
        name: row.filter(pl.col(scenario) == name)["row"].cast(pl.Int64).sort().to_numpy().copy()
        for name in schema.scenarios
    }


def _plain(items: pl.DataFrame) -> pa.Table:
    found: pa.Table = items.with_columns(pl.col(pl.Categorical).cast(pl.String)).to_arrow()
    return found


def _elsewhere(exclude: Jagged, place: Int[Tensor, "N"]) -> Jagged:
    """Rows of items as places of a shelf; those that it does not have are dropped."""
    values = place[exclude.values.long()]
    inside = values >= 0
    ends = torch.cat([torch.zeros(1, dtype=torch.long), torch.cumsum(inside, 0)])
    return Jagged(values[inside], ends[exclude.offsets.long()])
