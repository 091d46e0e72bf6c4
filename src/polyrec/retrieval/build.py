"""From files of items to the folder of an index: vectors are made and written block by block."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from polyrec.artifact import Bundle
from polyrec.artifact.manifest import digests
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.places import few
from polyrec.errors import ConfigError, DataError, unknown
from polyrec.retrieval import store
from polyrec.retrieval.approximate import AnnOptions, fitting
from polyrec.retrieval.mapped import ITEMS
from polyrec.retrieval.sharded import shares
from polyrec.retrieval.trial import embed, towers
from polyrec.retrieval.vectors import VectorFile

MANIFEST, ROWS = "index.json", "rows.npy"
BLOCK = 65_536  # items encoded at a time


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """Which rows of the files are items: the last one of each, in the order of the rows; and who may show them."""

    rows: np.ndarray  # [N]
    scenarios: Mapping[str, np.ndarray]  # items by their place among the N, in order; those without any are left out


def write(
    bundle: Bundle, source: Source, folder: Path, ann: AnnOptions | None = None, shards: int = 1
) -> dict[str, int]:
    """Write an index into a new folder. Of all rows no more than a few blocks are held; of items, their keys.

    See `ItemIndex.build`.

    Returns:
        How many items each scenario shows.
    """
    if shards < 1:
        raise ConfigError(f"--shards {shards} must be at least 1.")
    towers(bundle.model)
    schema, key = bundle.schema, item_key(bundle)
    names = list(dict.fromkeys([key, *(one.name for one in schema.features if one.side == "item")]))
    source = source.as_text(bundle.encoder.texts)
    source.require(names)
    wanted = _wanted(bundle, source, key)
    sizes = {name: len(places) for name, places in wanted.scenarios.items()}
    for count in sizes.values():
        fitting(shares(count, shards), ann)
    parts = {name: folder / f"{place:03d}" for place, name in enumerate(wanted.scenarios)}
    with ExitStack() as open_:
        files = {}
        for name, part in parts.items():
            part.mkdir(parents=True)
            np.save(part / ROWS, wanted.scenarios[name])
            files[name] = open_.enter_context(VectorFile(part / store.VECTORS, len(wanted.scenarios[name])))
        first, writer = 0, None
        for items in _blocks(source, names, wanted.rows):
            writer = writer or open_.enter_context(pa.ipc.new_file(str(folder / ITEMS), items.schema))
            writer.write_table(items)
            for name, places in wanted.scenarios.items():
                low, high = np.searchsorted(places, [first, first + items.num_rows])
                if low < high:
                    mine = completed(items.take(pa.array(places[low:high] - first)), bundle.encoder, name)
                    vectors = embed(bundle.model, "item", bundle.encoder.encode(mine, labels=False))
                    if files[name].written == 0:
                        fitting(shares(sizes[name], shards), ann, vectors.shape[1])
                    files[name].append(vectors)
            first += items.num_rows
    for name, part in parts.items():
        store.finish(part, shares(sizes[name], shards), ann)
    told = {
        "format": store.FORMAT,
        "bundle": bundle.manifest.identity,
        "key": key,
        "items": len(wanted.rows),
        "scenarios": list(parts),
        "files": digests(folder),
    }
    (folder / MANIFEST).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return sizes


def completed(rows: pa.Table, encoder: Encoder, scenario: str) -> pa.Table:
    """Rows with every column that the encoder reads: this scenario, and null for features that are not there."""
    key = encoder.schema.keys.scenario
    columns = {key: pa.array([scenario] * rows.num_rows)}
    for name in encoder.columns(labels=False):
        if name != key:
            columns[name] = rows[name] if name in rows.column_names else pa.nulls(rows.num_rows)
    return pa.table(columns)


def item_key(bundle: Bundle) -> str:
    """The column that tells items apart.

    Raises:
        DataError: the schema names none.
    """
    key = bundle.schema.keys.item
    if key is None:
        raise DataError("the bundle's schema names no item key: items cannot be told apart. Set [keys] item and fit.")
    return key


def _wanted(bundle: Bundle, source: Source, key: str) -> Wanted:
    """The last row of each item, and of each item in a scenario: a first pass, over keys and scenarios only."""
    known, scenario = bundle.schema.scenarios, bundle.schema.keys.scenario
    named = scenario in source.columns()
    last = _last(source, key, scenario if named else None)
    if not len(last):
        raise DataError(f"{few(source.paths)}: no row has an item key ({key!r}). Check the files.")
    by_item = last.group_by("key").agg(pl.col("row").max()).sort("row")
    rows = by_item["row"].to_numpy()
    if not named:
        return Wanted(rows, {name: np.arange(len(rows)) for name in known})
    for name in last["scenario"].unique().to_list():
        if name is None:
            raise DataError(
                f"scenario column {scenario!r} is null in a row of an item. Fill it, or leave the column out."
            )
        if name not in known:
            raise DataError(unknown("scenario", name, known, "among those of the bundle"))
    places = last.join(by_item.select("key").with_row_index("place"), on="key")
    shown = {
        name: places.filter(pl.col("scenario") == name)["place"].cast(pl.Int64).sort().to_numpy() for name in known
    }
    return Wanted(rows, {name: found for name, found in shown.items() if len(found)})


def _last(source: Source, key: str, scenario: str | None) -> pl.DataFrame:
    """Key, scenario and the last row of each pair; what is held stays in proportion to the pairs."""
    names = [key] if scenario is None else list(dict.fromkeys([key, scenario]))
    held: list[pl.DataFrame] = []  # the pairs so far
    fresh: list[pl.DataFrame] = []  # and those of the last blocks
    first = 0
    for table in source.tables(names):
        frame = pl.DataFrame({"key": _plain(table[key])})
        who = pl.lit(None, pl.String) if scenario is None else pl.Series("scenario", _plain(table[scenario]))
        frame = frame.with_columns(who.cast(pl.String).alias("scenario")).with_row_index("row", first)
        first += table.num_rows
        fresh.append(_pairs([frame.filter(pl.col("key").is_not_null()).with_columns(pl.col("row").cast(pl.Int64))]))
        if sum(map(len, fresh)) > max(sum(map(len, held)), BLOCK):
            held, fresh = [_pairs([*held, *fresh])], []
    return _pairs([*held, *fresh])


def _pairs(frames: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames).group_by("key", "scenario").agg(pl.col("row").max())


def _blocks(source: Source, names: list[str], wanted: np.ndarray) -> Iterator[pa.Table]:
    """The wanted rows, a block at a time."""
    held: list[pa.Table] = []
    first = 0
    for table in source.tables(names):
        low, high = np.searchsorted(wanted, [first, first + table.num_rows])
        if low < high:
            rows = table.take(pa.array(wanted[low:high] - first))
            held.append(pa.table({name: _plain(rows[name]) for name in names}))
        first += table.num_rows
        if sum(one.num_rows for one in held) >= BLOCK:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return column.cast(pa.string() if pa.types.is_large_string(kind) else kind)  # as every other file's
