"""Time and peak memory of the first pass over a log: in one process, and by workers of a Ray cluster on this machine.

    .venv/bin/python benchmarks/counting.py --rows 10000000 --ids 2000000 --workers 2

The log is four files of two id columns (one of `--ids` values, as likely as each other; one of a tenth, Zipf), eight
columns of some hundred values, six numbers and a scenario, in row groups of 100,000. Each way runs in a process of its
own, needs the `ray` extra, and leaves a vocabulary; whether they are the same bytes is told. Told of each: seconds from
reading to the saved vocabulary, those until the workers have counted among them, the start of Ray apart; seconds of
processor of the process itself, and of its busiest worker with its start; the peak of the process (VmHWM) and the
largest of its workers, programs included.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.cluster.connect import connected
from polyrec.cluster.count import counting
from polyrec.data.files import Source
from polyrec.data.hashing import splitmix64
from polyrec.data.vocabulary import Vocabulary
from polyrec.schema import Feature, Keys, Schema, Task

FILES, GROUP = 4, 100_000
WIDE = [f"field-{one}" for one in range(8)]
NUMBERS = [f"number-{one}" for one in range(6)]
FEATURES = [Feature(name, "categorical") for name in ("item", "user", *WIDE)]
FEATURES += [Feature(name, "numeric", transform="quantile" if name[-1] == "0" else None) for name in NUMBERS]
SCHEMA = Schema(Keys("tab"), tuple(FEATURES), (Task("click", "click"),))


def main() -> None:
    """A line a way."""
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=4_000_000)
    options.add_argument("--ids", type=int, default=1_000_000)
    options.add_argument("--workers", type=int, nargs="+", default=[2])
    options.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.log:
        count(given.log, given.workers[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), given.rows, given.ids)
        for workers in (0, *given.workers):
            command = [sys.executable, __file__, "--log", folder, "--workers", str(workers)]
            subprocess.run(command, check=True)
        ways = [Path(folder) / f"vocabulary-{workers}" for workers in (0, *given.workers)]
        same = all(
            (way / path.name).read_bytes() == path.read_bytes()
            for way in ways[1:]
            for path in sorted(ways[0].iterdir())
        )
        print("the same vocabularies" if same else "NOT the same vocabularies")


def write(folder: Path, rows: int, ids: int) -> None:
    """The log."""
    for file in range(FILES):
        random = np.random.default_rng(file)
        with pq.ParquetWriter(folder / f"{file}.parquet", table(random, 1, ids).schema) as writer:
            for _ in range(0, rows // FILES, GROUP):
                writer.write_table(table(random, GROUP, ids), row_group_size=GROUP)


def table(random: np.random.Generator, rows: int, ids: int) -> pa.Table:
    """Some rows."""
    users = (max(ids // 10, 2) ** random.random(rows) - 1).astype(np.int64)
    return pa.table(
        {
            "tab": random.choice(["home", "search"], rows),
            "item": splitmix64(random.integers(0, ids, rows)).view(np.int64),
            "user": pa.array(users).cast(pa.string()),
            **{name: random.integers(0, 100, rows) for name in WIDE},
            **{name: random.lognormal(size=rows) for name in NUMBERS},
            "click": random.integers(0, 2, rows),
        }
    )


def count(log: Path, workers: int) -> None:
    """Fit, and say what it took."""
    source = Source(tuple(sorted(log.glob("*.parquet"))))
    rows, kept = source.rows(), log / f"vocabulary-{workers}"
    if not workers:
        begun = time.monotonic()
        used = time.process_time()
        Vocabulary.fit(SCHEMA, source).save(kept)
        seconds, used = time.monotonic() - begun, time.process_time() - used
        print(
            f"{rows:,} rows, one process: {seconds:.1f} s, {used:.1f} of processor, peak {peak():,.0f} MB", flush=True
        )
        return
    done, used = [], [0.0, 0.0]
    watch, started = Watch(), time.monotonic()
    with connected(workers) as ray:
        begun, used[0] = time.monotonic(), time.process_time()
        find = counting(ray, log / "counts", workers)
        Vocabulary.fit(SCHEMA, source, lambda *_: done.append(time.monotonic()), find).save(kept)
        ended, used[1] = time.monotonic(), time.process_time()
    highest, busiest = watch.done()
    print(
        f"{rows:,} rows, {workers} workers: {ended - begun:.1f} s ({done[0] - begun:.1f} until the first part of "
        f"{len(done)}, {done[-1] - begun:.1f} until the last), Ray's start {begun - started:.1f} s, of processor "
        f"{used[1] - used[0]:.1f} s and {busiest:.1f} of a worker, "
        f"peak {peak():,.0f} MB and {highest:,.0f} of a worker",
        flush=True,
    )


def peak() -> float:
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


class Watch:
    """The most that one of the workers takes, looked at twice a second: MB and seconds of processor."""

    def __init__(self) -> None:
        self._most, self._stop = (0.0, 0.0), Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.5):
            for one in Path("/proc").glob("[0-9]*"):
                self._most = tuple(map(max, self._most, taken(one)))

    def done(self) -> tuple[float, float]:
        """MB, seconds."""
        self._stop.set()
        self._thread.join()
        return self._most


def taken(process: Path) -> tuple[float, float]:
    """MB at most and seconds of processor, of one of Ray's workers of this user; 0 of other processes."""
    try:
        if process.stat().st_uid != os.getuid() or b"MapWorker" not in (process / "cmdline").read_bytes():
            return 0.0, 0.0
        lines = (process / "status").read_text().splitlines()
        times = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return 0.0, 0.0
    high = next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), 0.0)
    return high, sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
