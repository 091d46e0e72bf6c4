"""What the graph of a transfer costs: processor seconds and peak memory, by into how many parts it is split.

    python benchmarks/transfer_graph.py --edges 20_000_000

Users evenly drawn, items by falling popularity, edges in blocks as a log gives them; each number of parts in a process
of its own. Memory is what the process grew by, the program and its libraries left out. Then the rows of a log of the
same size are asked which K they need.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from polyrec.transfer.graph import Edges, reach

BLOCK = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, default=2_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 16])
    options = parser.parse_args()
    if len(options.parts) > 1:
        print("| parts | graph, s | rows, s | peak, MiB |\n|---|---|---|---|", flush=True)
        sizes = [f"--{name}={getattr(options, name)}" for name in ("edges", "users", "items")]
        for parts in options.parts:
            subprocess.run([sys.executable, __file__, *sizes, "--parts", str(parts)], check=True)
        return
    before, begun = peak(), time.process_time()
    found = reach(
        blocks(options.edges, options.users, options.items), np.arange(0, options.items, 400), parts=options.parts[0]
    )
    built = time.process_time()
    rows = 0
    for users, items in blocks(options.edges, options.users, options.items):
        rows += int((found.need(users, items) <= 2 * found.own).sum())
    asked = time.process_time()
    print(f"| {options.parts[0]} | {built - begun:.1f} | {asked - built:.1f} | {peak() - before:.0f} |", flush=True)


def blocks(edges: int, users: int, items: int) -> Iterator[Edges]:
    random = np.random.default_rng(0)
    for at in range(0, edges, BLOCK):
        count = min(BLOCK, edges - at)
        yield random.integers(0, users, count), np.floor(items * random.random(count) ** 2).astype(np.int64)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
