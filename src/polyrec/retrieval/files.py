"""Users from files, hits into a file, in blocks of bounded memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.atomic import whole_file
from polyrec.data.files import Source
from polyrec.data.places import few
from polyrec.errors import DataError
from polyrec.retrieval.mapped import picked
from polyrec.retrieval.recommend import Recommender

BLOCK = 4_096  # users at a time


def retrieve(
    recommender: Recommender, users: Source, scenario: str, k: int, out: str | Path, *, seen: Source | None = None
) -> int:
    """Write user key, rank (from 1), item key and score, users in the order of the files; returns the rows written.

    Args:
        recommender: a bundle with its index.
        users: a row a user: the user key, and features of user and context.
        scenario: whose items.
        k: items a user.
        out: a parquet file, which appears whole.
        seen: rows of user and item keys that must not be found together.

    Raises:
        DataError: no users, or a column is missing; see also `Recommender.retrieve`.
    """
    key = recommender.bundle.schema.keys.user
    if key is None:
        raise DataError("the bundle's schema names no user key: hits could not say whose they are. Set [keys] user.")
    known = set(users.columns())
    wanted = [one.name for one in recommender.bundle.schema.features if one.side != "item"]
    names = [key, *(name for name in wanted if name in known and name != key)]
    hidden = None if seen is None else _seen(recommender, seen, key)
    written = 0
    with whole_file(out) as target:
        writer = None
        try:
            for block in _blocks(users, names):
                table = _hits(recommender, block, key, scenario, k, hidden)
                writer = writer or pq.ParquetWriter(target, table.schema)
                writer.write_table(table)
                written += table.num_rows
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise DataError(f"{few(users.paths)}: no users. Check the files.")
    return written


def _blocks(users: Source, names: list[str]) -> Iterator[pa.Table]:
    for table in users.tables(names):
        plain = pa.table({name: _plain(table[name]) for name in names})
        for start in range(0, plain.num_rows, BLOCK):
            yield plain.slice(start, BLOCK)


def _hits(
    recommender: Recommender, users: pa.Table, key: str, scenario: str, k: int, hidden: pl.DataFrame | None
) -> pa.Table:
    exclude = None
    if hidden is not None:
        mine = pl.DataFrame({"user": pl.Series(users[key])}).with_columns(pl.col("user").cast(pl.String))
        lists = mine.join(hidden, on="user", how="left", maintain_order="left")["items"]
        exclude = [row or [] for row in lists.to_list()]
    found = recommender.retrieve(users, scenario, k, exclude=exclude)
    row, rank = np.nonzero(found.places.numpy() >= 0)
    places = found.places.numpy()[row, rank]
    index = recommender.index
    return pa.table(
        {
            key: users[key].take(pa.array(row)),
            "rank": pa.array(rank + 1, pa.int32()),
            index.key: picked(index.items.select([index.key]), places)[index.key],
            "score": pa.array(found.scores.numpy()[row, rank]),
        }
    )


def _seen(recommender: Recommender, seen: Source, key: str) -> pl.DataFrame:
    item = recommender.index.key
    seen.require([key, item])
    rows = seen.scan().select(pl.col(key).cast(pl.String).alias("user"), pl.col(item).alias("items"))
    return rows.unique().group_by("user").agg("items").collect()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
