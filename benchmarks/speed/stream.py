"""Whether a hundred million rows go through as one million do: rows a second, and the most memory taken.

    .venv/bin/python benchmarks/speed/stream.py --out runs/speed

Two logs of the benchmark's shape, each through vocabularies and one epoch of training in a process of its own. The
network is small (one layer of 32), so that reading, encoding and updates of tables are most of the work. Seconds of the
processor for a million rows say the same as rows a second where other work shares the machine.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
from log import write

from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.loader import Loader
from polyrec.evaluation.memory import peak_memory
from polyrec.recipes.assemble import assemble
from polyrec.recipes.prepare import prepare
from polyrec.training import Evaluation, Stage, train

SIZES = (1_000_000, 100_000_000)


def once(folder: Path, threads: int) -> None:
    """One line of JSON: rows, seconds of the vocabularies, speed of training, peak MB."""
    torch.set_num_threads(threads)
    started = time.perf_counter()
    split = Split(by="random", valid=0.001, test=0.001)
    data = DataConfig(schema=str(folder / "schema.toml"), log=(str(folder / "log.parquet"),), split=split)
    rows = prepare(data)
    counted = time.perf_counter() - started
    run = RunConfig(
        "shared_bottom",
        data,
        model={"widths": [32], "tower_widths": []},
        training={"epochs": 1, "threads": threads, "balancer": "fixed", "seed": 0},
    )
    made = assemble(run, rows.encoder.layout)
    loader = Loader(rows.splits.train, rows.encoder, batch_size=4096, seed=0)
    started, worked = time.perf_counter(), time.process_time()
    history = train(
        Stage("train", made.training), made.model, made.objective, made.balancer, loader, lambda: Evaluation(None, {})
    )
    seconds = time.perf_counter() - started
    found = {
        "rows": history.rows,
        "vocabularies_s": round(counted, 1),
        "rows_per_s": round(history.rows / seconds),
        "cpu_s_per_million": round((time.process_time() - worked) / history.rows * 1e6, 1),
        "peak_mb": round(peak_memory()),
    }
    print(json.dumps(found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/speed"))
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        once(options.once, options.threads)
        return
    for rows in options.rows:
        folder = options.out / f"stream{rows}"
        write(folder, rows, 3)
        command = [sys.executable, __file__, "--once", str(folder), "--threads", str(options.threads)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
