"""Whether training has become slower: two ratios in one run, so that any machine may be asked.

    .venv/bin/python benchmarks/speed/guard.py

polyrec from parquet at least 0.8 times the loop written by hand (`loops.py`) at 3 scenarios; a row at 300 scenarios at
most 1.3 times a row at 3, in batches of 8,192. The best of the rounds count, since other work on the machine only ever
slows a round; it ends with the first round after which both hold.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from measure import Race, prepared, same
from networks import NETWORKS

ROWS, BATCH, ROUNDS = 120_000, 8_192, 6
TO_REFERENCE, TO_FEW = 0.8, 1.3


def main() -> int:
    threads = min(2, torch.get_num_threads())
    torch.set_num_threads(threads)
    with TemporaryDirectory() as folder:
        few, many = (
            Race(NETWORKS["mmoe"], prepared(Path(folder) / f"s{count}", ROWS, count), count, threads, BATCH)
            for count in (3, 300)
        )
        best = {"reference": 0.0, "few": 0.0, "many": 0.0}
        for turn in range(ROUNDS):
            theirs, reference = few.reference()
            ours, speed = few.polyrec()
            same(ours, theirs, "mmoe, reference")
            for name, one in (("reference", reference), ("few", speed), ("many", many.polyrec()[1])):
                best[name] = max(best[name], one)
            to_reference, to_few = best["few"] / best["reference"], best["few"] / best["many"]
            print(
                f"round {turn + 1}: {to_reference:.2f} of the loop by hand (at least {TO_REFERENCE}); a row at 300 "
                f"scenarios takes {to_few:.2f} of a row at 3 (at most {TO_FEW})",
                flush=True,
            )
            if to_reference >= TO_REFERENCE and to_few <= TO_FEW:
                return 0
    print("training has become slower than these bounds: profile it (benchmarks/speed/measure.py)", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
