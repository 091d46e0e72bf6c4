"""What very many small files cost: listing them, reading their footers, splitting them, and going on in the middle.

    .venv/bin/python benchmarks/many_files.py --files 100000

The files lie in a temporary folder (TMPDIR) and are removed. Times are of one machine on one day: compare them only
within a run, with `--against` a folder that holds another version of the package.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.data.encode import Encoder
from polyrec.data.files import Source, expand
from polyrec.data.loader import Loader, Position
from polyrec.data.vocabulary import Vocabulary
from polyrec.data.where import Between
from polyrec.schema import Feature, Keys, Schema, Task

ROWS, FOLDERS, WINDOW = 100, 100, 20_000  # of a file; of all; rows shuffled at a time
SCHEMA = Schema(
    Keys("tab", user="user", time="week"),
    (
        Feature("user", "categorical", "user"),
        Feature("item", "categorical", "item"),
        *(Feature(f"number_{place}", "numeric", transform="standard") for place in range(10)),
    ),
    (Task("click", "click"),),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--against", type=Path, help="a folder whose `polyrec` is measured too, in turn with this one")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        measure(options.folder)
        return
    with TemporaryDirectory() as folder:
        make(Path(folder), options.files)
        here = Path(__file__).resolve().parents[1] / "src"
        for path in [here, *([options.against] if options.against else [])] * options.repeats:
            say(f"{path}:")
            command = [sys.executable, __file__, "--folder", folder]
            subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(path)})


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def make(folder: Path, files: int) -> None:
    """Files in `FOLDERS` folders; those of a folder are alike but for every seventh."""
    for place in range(FOLDERS):
        day = folder / f"day={place:03d}"
        day.mkdir()
        written = [_file(place, variant, day / "first") for variant in range(7)]
        for number in range(place, files, FOLDERS):
            (day / f"part-{number:08d}.parquet").write_bytes(written[number % 7])


def _file(week: int, variant: int, path: Path) -> bytes:
    random = np.random.default_rng((week, variant))
    columns = {
        "user": random.integers(0, 1_000, ROWS),
        "item": pa.array([f"item {one}" for one in random.integers(0, 500, ROWS)]),
        "tab": random.choice(["home", "search"], ROWS),
        "week": np.full(ROWS, week),
        "click": random.integers(0, 2, ROWS),
        **{f"number_{place}": random.normal(size=ROWS) for place in range(10)},
    }
    pq.write_table(pa.table(columns), path)
    found = path.read_bytes()
    path.unlink()
    return found


def resident() -> float:
    """Bytes of this process that lie in memory."""
    return float(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Clock:
    """Seconds since it was last asked, by the wall and of this process's processors."""

    def __init__(self) -> None:
        self.wall, self.busy = time.perf_counter(), time.process_time()

    def since(self) -> str:
        wall, busy = self.wall, self.busy
        self.wall, self.busy = time.perf_counter(), time.process_time()
        return f"{self.wall - wall:.2f} s, {self.busy - busy:.2f} of them computing"


def measure(folder: Path) -> None:
    first = Source(expand([folder / "day=000" / "part-00000000.parquet"]))
    encoder = Encoder(SCHEMA, Vocabulary.fit(SCHEMA, first))
    before, clock = resident(), Clock()
    log = Source(expand([folder / "day=*" / "part-*.parquet"]))
    count = len(log.paths)
    say(f"  listing {count:,} files: {clock.since()}; {(resident() - before) / count:,.0f} bytes a file")
    before = resident()
    if hasattr(log, "open"):  # not in versions before it
        log.open(columns=["week"])  # as a split by time does
    rows = log.rows()
    say(f"  their footers: {clock.since()}; {(resident() - before) / count:,.0f} bytes a file")
    train, *rest = (log.filtered(Between("week", *bounds)) for bounds in ((None, 95), (95, 97), (97, None)))
    assert sum(part.rows() for part in (train, *rest)) == rows
    say(f"  a split by time: {clock.since()}")
    loader = Loader(train, encoder, batch_size=4096, shuffle_rows=WINDOW)
    next(loader.epoch(0))
    say(f"  first batch of an epoch: {clock.since()}")
    next(loader.epoch(0, Position(int(0.9 * train.rows() / WINDOW))))
    say(f"  first batch from 90 % on: {clock.since()}")


if __name__ == "__main__":
    main()
