"""Items that can be recommended, encoded once: a request then encodes its user alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from polyrec.batch import Batch, Field, Number
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.places import few
from polyrec.errors import DataError, unknown
from polyrec.schema import Schema
from polyrec.shapes import Int, Tensor

MOST = 2_000  # items that one request ranks


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Keys of items, the most frequent first, and their features as a batch; features of others are null in it."""

    keys: Sequence[Any]
    batch: Batch

    @classmethod
    def read(cls, source: Source, encoder: Encoder) -> "Catalogue":
        """The items of a table: one row an item, or a log, where an item's last row counts.

        Raises:
            DataError: the schema names no item key, or the table lacks it or a feature of items.
        """
        schema = encoder.schema
        source = source.as_text(encoder.texts)
        key, names = _check(schema, source.columns()), _item_features(schema)
        return cls.of(_latest(source, key, names), encoder)

    @classmethod
    def of(cls, items: pa.Table, encoder: Encoder) -> "Catalogue":
        """A catalogue of a table with one row an item.

        Raises:
            DataError: the schema names no item key, or the table lacks it or a feature of items.
        """
        schema = encoder.schema
        _check(schema, items.column_names)
        keys = items[str(schema.keys.item)].to_pylist()
        columns = {name: items[name] for name in _item_features(schema)}
        rows = len(keys)
        absent = {name: pa.nulls(rows) for name in encoder.columns(labels=False) if name not in columns}
        absent[schema.keys.scenario] = pa.array([schema.scenarios[0]] * rows, pa.string())
        return cls(keys, encoder.encode(pa.table(columns | absent), labels=False))

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def places(self) -> dict[Any, int]:
        """Where each key is."""
        return {key: place for place, key in enumerate(self.keys)}

    def beside(self, user: Batch, places: Int[Tensor, "N"]) -> Batch:
        """One row for each of these items: items' columns, the rest the user's.

        Args:
            user: one row.
            places: of items in the catalogue.
        """
        items, rows = self.batch.select(places), user.repeat(len(places))
        layout = user.layout
        rows.ids[:, _of_items(layout.categorical)] = items.ids[:, _of_items(layout.categorical)]
        rows.numerics[:, _of_items(layout.numeric)] = items.numerics[:, _of_items(layout.numeric)]
        sequences = {one.name: items.sequences[one.name] for one in layout.sequences if one.side == "item"}
        vectors = {one.name: items.vectors[one.name] for one in layout.vectors if one.side == "item"}
        return replace(rows, sequences={**rows.sequences, **sequences}, vectors={**rows.vectors, **vectors})


def _check(schema: Schema, known: Iterable[str]) -> str:
    """The item key, once it is known that every column of items is there."""
    key, known = schema.keys.item, list(known)
    if key is None:
        raise DataError("the schema names no item key: [keys] item = COLUMN says which rows are of one item.")
    missing = [
        unknown("column", one, known, "among the items") for one in (key, *_item_features(schema)) if one not in known
    ]
    if missing:
        raise DataError(f"{missing[0]} Items need their key and every feature with side = 'item'.")
    return key


def _item_features(schema: Schema) -> list[str]:
    return [one.name for one in schema.features if one.side == "item"]


def _of_items(columns: Sequence[Field | Number]) -> list[int]:
    return [place for place, one in enumerate(columns) if one.side == "item"]


def _latest(source: Source, key: str, names: Sequence[str]) -> pa.Table:
    """Each item's last row, the most frequent item first; rows without a key are left out."""
    columns = list(dict.fromkeys([key, *names]))
    kept: pl.DataFrame | None = None
    for table in source.tables(columns):
        part = pl.DataFrame(pl.from_arrow(table)).filter(pl.col(key).is_not_null())
        part = part.with_columns(pl.lit(1, pl.UInt32).alias(_COUNT))
        both = part if kept is None else pl.concat([kept, part], how="vertical_relaxed")
        last = [pl.col(name).last() for name in columns if name != key]
        kept = both.group_by(key, maintain_order=True).agg(*last, pl.col(_COUNT).sum())
    if kept is None or not len(kept):
        raise DataError(f"{few(source.paths)}: no item. Name a table of items, or a log.")
    ordered = kept.sort(_COUNT, descending=True, maintain_order=True)
    return ordered.select(pl.col(columns)).to_arrow()


_COUNT = "\x00count"  # no column of a file is called so


def best(scores: Tensor, k: int) -> np.ndarray:
    """Places of the k largest, the largest first, equals in their order."""
    order: np.ndarray = np.argsort(-scores.numpy(), kind="stable")[:k]
    return order
