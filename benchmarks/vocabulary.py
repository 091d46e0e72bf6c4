"""Time and peak memory of counting distinct ids, in memory and with counts spilled to disk.

    .venv/bin/python benchmarks/vocabulary.py --rows 1000000000 --ids 100000000 --memory 2048

Ids are drawn as rows are counted, in blocks as a file is read: each of so many as likely as any other, or, with
`--zipf`, the k-th with a chance in proportion to 1 / k. An id is its number mixed to 64 bits. Each memory, in MB, is
what POLYREC_VOCABULARY_MB is set to, in a process of its own; one that is large enough spills nothing. Told are the
distinct ids that were seen, a digest of them in the order of their ids, seconds of processor (of all threads; set
POLARS_MAX_THREADS=1 for one), the peak (VmHWM) beside what the program takes before, and the most that lay on disk.
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

from polyrec.data.counted import Counted, relieve
from polyrec.data.hashing import splitmix64
from polyrec.data.keys import Keys
from polyrec.data.spill import MEMORY, Space
from polyrec.data.values import Values

BLOCK = 65_536


def main() -> None:
    """A line a memory."""
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--ids", type=int, default=1_000_000)
    options.add_argument("--least", type=int, default=1, help="min_count")
    options.add_argument("--zipf", action="store_true")
    options.add_argument("--memory", type=float, nargs="+", default=[2048])
    options.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.here:
        count(given.rows, given.ids, given.least, zipf=given.zipf)
        return
    for memory in given.memory:
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, MEMORY: str(memory), "TMPDIR": folder}
            print(f"{MEMORY} = {memory:,.0f}:", end=" ", flush=True)
            subprocess.run([sys.executable, *sys.argv, "--here"], env=environment, check=True)


def count(rows: int, ids: int, least: int, *, zipf: bool) -> None:
    """Count, order and keep; say what it took."""
    random = np.random.default_rng(0)
    program, begun, watch = peak(), time.process_time(), Watch(Path(tempfile.gettempdir()))
    counted = Counted("feature 'id'")
    with Space() as space:
        for start in range(0, rows, BLOCK):
            size = min(BLOCK, rows - start)
            drawn = ids ** random.random(size) - 1 if zipf else random.integers(0, ids, size)
            counted.add(Keys("integer", splitmix64(drawn.astype(np.int64)).view(np.int64)))
            relieve([counted], space)
        read = time.process_time() - begun
        values = Values("integer", np.zeros(0, np.int64)).grown(counted, least)
    taken, seconds = peak() - program, time.process_time() - begun
    print(
        f"{rows:,} rows, {len(values.known):,} values {'on disk' if values.stored else 'in memory'}: {digest(values)}, "
        f"{seconds:,.0f} s ({read:,.0f} of them counting), peak {taken:,.0f} MB and {program:,.0f} of program, "
        f"disk {watch.done() / 1e6:,.0f} MB",
        flush=True,
    )


def digest(values: Values) -> str:
    """Of the values and their order."""
    found = 0
    for start in range(0, len(values.known), 2**20):
        part = values.known[start : start + 2**20]
        found ^= int(np.bitwise_xor.reduce(splitmix64(part ^ np.arange(start, start + len(part)))))
    return f"{found:016x}"


def peak() -> float:
    """MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


class Watch:
    """How many bytes lay in a folder at most, looked at each second."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._most, self._stop = folder, 0, Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(1.0):
            self._most = max(self._most, sum(map(bytes_of, self._folder.glob("*/*"))))

    def done(self) -> int:
        """Bytes."""
        self._stop.set()
        self._thread.join()
        return self._most


def bytes_of(path: Path) -> int:
    """0 where it has been removed meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


if __name__ == "__main__":
    main()
