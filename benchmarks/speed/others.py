"""What surrounds training: reports, encoding, start-up.

    .venv/bin/python benchmarks/speed/others.py --out runs/speed

Reports: 10 scenarios x 3 targets, all metrics and intervals. Encoding: from parquet to packed ids, against one polars
query that reads the same file and joins every column with its vocabulary. Medians of five.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
from log import SIZES
from measure import prepared

from polyrec.data.loader import Loader
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.report import Report
from polyrec.recipes.prepare import Prepared
from polyrec.schema import Target


def timed(run: Callable[[], object], times: int = 5) -> float:
    found = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
    return median(found)


def collected(rows: int) -> Collected:
    rng = np.random.default_rng(0)
    click, cart, buy = Target("click"), Target("cart"), Target("buy")
    logits = {one: rng.normal(-2, 1, rows).astype(np.float32) for one in (click, cart, buy)}
    return Collected(
        targets=(click, cart, buy),
        scenarios=tuple(f"s{place}" for place in range(10)),
        scenario=rng.integers(0, 10, rows).astype(np.int32),
        user=rng.integers(0, rows // 20, rows),
        logits=logits,
        labels={one: rng.random(rows) < 1 / (1 + np.exp(-logit)) for one, logit in logits.items()},
        inside={one: np.ones(rows, bool) for one in logits},
    )


def reports() -> None:
    for rows in (3_333_334, 10_000_000):
        found = collected(rows)
        seconds = timed(lambda found=found: Report.build(found, recipe="-", split="test"), 3)
        print(f"report of {rows:,} rows x 3 targets, 30 cells: {seconds:.1f} s", flush=True)


def encoding(folder: Path) -> None:
    rows: Prepared = prepared(folder / "s3", 500_000, 3)
    log = folder / "s3" / "log.parquet"
    values = pl.read_parquet(log)
    known = {name: values[name].unique(maintain_order=True) for name in SIZES}
    tables = [
        pl.LazyFrame({name: one, f"{name}_id": np.arange(2, len(one) + 2, dtype=np.int32)})
        for name, one in known.items()
    ]

    def joined() -> None:
        query = pl.scan_parquet(log)
        for name, table in zip(SIZES, tables, strict=True):
            query = query.join(table, on=name, how="left", maintain_order="left")
        packed = query.select([pl.col(f"{name}_id").fill_null(0) for name in SIZES]).collect()
        packed.to_numpy(order="c")

    def encoded() -> None:
        for part in (rows.splits.train, rows.splits.valid, rows.splits.test):
            for _ in Loader(part, rows.encoder, batch_size=4096, prefetch=0).ordered():
                pass

    ours, theirs = [], []
    for _ in range(5):
        ours.append(timed(encoded, 1))
        theirs.append(timed(joined, 1))
    count = len(values)
    print(
        f"encoding: {count / median(ours):,.0f} rows/s, polars' joins {count / median(theirs):,.0f} rows/s, "
        f"ratio {median(theirs) / median(ours):.2f}",
        flush=True,
    )


def start() -> None:
    def python(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    command = [str(Path(sys.executable).parent / "polyrec"), "--help"]
    shown = timed(lambda: subprocess.run(command, check=True, capture_output=True))
    torch, both = timed(python("import torch")), timed(python("import torch, polyrec"))
    print(f"polyrec --help: {shown:.2f} s; import polyrec beyond torch: {both - torch:.2f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/speed"))
    options = parser.parse_args()
    start()
    encoding(options.out)
    reports()
