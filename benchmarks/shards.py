"""What a process holds of a large table, whole and split over processes, against what `--dry-run` reckons.

    .venv/bin/python benchmarks/shards.py --out runs/shards --rows 50000000 --processes 2

Simulated rows; the user is hashed into so many rows of width 16. Each number of processes trains `mmoe` for one epoch,
writes its checkpoint and its bundle, and the peak memory (VmHWM) of its largest process is told. The same run with a
table of 1,000 rows says what program and batches take.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from polyrec.data.simulate import simulate

RUN = """recipe = "mmoe"
[data]
schema = "{schema}"
log = ["log.parquet"]
[training]
epochs = 1
evaluations = 1
batch_size = 4096
threads = 1
shard_rows = 100_000
"""


def main() -> None:
    """A line a run."""
    options = argparse.ArgumentParser()
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--rows", type=int, default=50_000_000)
    options.add_argument("--processes", type=int, default=2)
    given = options.parse_args()
    simulate(given.out, rows=40_000, scenarios=3, seed=1)
    schema = (given.out / "schema.toml").read_text(encoding="utf-8")
    held = {}
    for rows in (1_000, given.rows):
        hashed = schema.replace('name = "user_id"\n', f'name = "user_id"\nhash = {rows}\n')
        (given.out / f"schema-{rows}.toml").write_text(hashed, encoding="utf-8")
        (given.out / f"run-{rows}.toml").write_text(RUN.format(schema=f"schema-{rows}.toml"), encoding="utf-8")
        for processes in (1, given.processes):
            peak, planned = measured(given.out, rows, processes)
            held[rows, processes] = peak
            print(
                f"table of {rows:,} rows, {processes} processes: {peak:,.0f} MB at most; reckoned {planned} MB",
                flush=True,
            )
    one, several = (held[given.rows, count] for count in (1, given.processes))
    empty = [held[1_000, count] for count in (1, given.processes)]
    print(f"a process of {given.processes} holds {several / one:.3f} of what one alone does;", end=" ")
    print(f"of the table and its state {(several - empty[1]) / (one - empty[0]):.3f}")


def measured(out: Path, rows: int, processes: int) -> tuple[float, str]:
    """Peak memory of the largest process in MB, and what the planner says of its tables and weights."""
    command = [sys.executable, "-m", "polyrec", "fit", str(out / f"run-{rows}.toml"), "--processes", str(processes)]
    told = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True).stdout
    (planned,) = re.findall(r"holds at most ([\d,.]+) MB", told)
    run = subprocess.Popen([*command, "--out", str(out / f"{rows}-{processes}")], stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(run.pid, 0)
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return usage.ru_maxrss * 1024 / 1e6, planned


if __name__ == "__main__":
    main()
