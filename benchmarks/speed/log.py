"""A log in the shape of Ali-CCP: 23 categorical fields, two of 200,000 and 400,000 ids, clicks and buys after clicks.

    .venv/bin/python benchmarks/speed/log.py runs/speed/s3 --rows 1000000 --scenarios 3

Ids follow a power law, scenarios too (the first of 300 has 16 % of the rows, the last .05 %). Labels follow a logit
that adds a fixed effect of each id, so that a loss falls as it does on a real log. Row groups of 100,000 rows are made
one after another: any number of rows in the memory of one.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.schema import Feature, Keys, Schema, Side, Task

BLOCK = 100_000
SIZES = {
    "user": 200_000,
    **{f"u{place}": size for place, size in enumerate((100, 14, 3, 8, 4, 4, 3, 3, 5), 1)},
    **{f"h{place}": size for place, size in enumerate((5_000, 10_000, 10_000, 3_000), 1)},  # what a user did before
    "item": 400_000,
    "category": 6_000,
    "shop": 40_000,
    "brand": 20_000,
    **{f"x{place}": size for place, size in enumerate((2_000, 5_000, 5_000, 1_000), 1)},  # of user and item together
    "hour": 24,
}
ITEM = ("item", "category", "shop", "brand")


def schema(scenarios: int) -> Schema:
    """The declaration of the log."""
    return Schema(
        scenarios=tuple(f"s{place}" for place in range(scenarios)),
        tasks=(Task("click", "click"), Task("buy", "buy", after="click")),
        features=tuple(Feature(name, "categorical", side(name)) for name in SIZES),
        keys=Keys(scenario="scenario", user="user", item="item"),
    )


def side(name: str) -> Side:
    """Whom a field describes."""
    if name in ITEM:
        return "item"
    return "context" if name == "hour" or name[0] == "x" else "user"


def blocks(rows: int, scenarios: int, seed: int) -> Iterator[pa.Table]:
    """Tables of at most `BLOCK` rows."""
    share = 1.0 / np.arange(1, scenarios + 1)
    effects = {
        name: np.random.default_rng((seed, 9, place)).normal(0, 0.3, size)
        for place, (name, size) in enumerate(SIZES.items())
    }
    for place, start in enumerate(range(0, rows, BLOCK)):
        rng = np.random.default_rng((seed, place))
        count = min(BLOCK, rows - start)
        scenario = rng.choice(scenarios, count, p=share / share.sum()).astype(np.int32)
        columns, logit = {}, np.full(count, -3.2)
        for name, size in SIZES.items():
            ids = np.minimum(size * rng.random(count) ** 2.5, size - 1).astype(np.int32)  # the first are frequent
            columns[name] = ids
            logit += effects[name][ids]
        click = rng.random(count) < 1 / (1 + np.exp(-logit))
        buy = click & (rng.random(count) < 1 / (1 + np.exp(-logit - 2.0)))
        names = pl.Series("scenario", [f"s{one}" for one in range(scenarios)]).gather(scenario)
        yield pl.DataFrame(
            {"scenario": names, **columns, "click": click.astype(np.int8), "buy": buy.astype(np.int8)}
        ).to_arrow(compat_level=pl.CompatLevel.oldest())


def write(folder: Path, rows: int, scenarios: int, seed: int = 0) -> None:
    """`log.parquet` and `schema.toml` in the folder, unless they are there."""
    if (folder / "schema.toml").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    writer = None
    for table in blocks(rows, scenarios, seed):
        writer = writer or pq.ParquetWriter(folder / "log.parquet", table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()
    (folder / "schema.toml").write_text(schema(scenarios).to_toml(), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--scenarios", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.folder, options.rows, options.scenarios, options.seed)
