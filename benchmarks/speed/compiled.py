"""Whether `torch.compile` pays: steps of training on batches in memory, the model plain and compiled, in turn.

    .venv/bin/python benchmarks/speed/compiled.py --out runs/speed

Each network is compiled once with open shapes; what that takes is told beside the speed. Ratios of the best of rounds.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from measure import Race, prepared
from networks import NETWORKS

from polyrec.batch import Batch
from polyrec.recipes.assemble import Assembly
from polyrec.training.optim import Optimizer


def step(made: Assembly, model: torch.nn.Module, batch: Batch, optimizer: Optimizer, place: int) -> None:
    torch.stack(list(made.objective(model(batch), batch).values())).sum().backward()
    optimizer.step(place)


def speed(made: Assembly, model: torch.nn.Module, batches: list[Batch], optimizer: Optimizer) -> float:
    """Rows a second."""
    started = time.perf_counter()
    for place, batch in enumerate(batches):
        step(made, model, batch, optimizer, place)
    return sum(map(len, batches)) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/speed"))
    parser.add_argument("--networks", nargs="+", default=["mmoe", "aem2tl"], choices=list(NETWORKS))
    parser.add_argument("--scenarios", type=int, nargs="+", default=[3, 30])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(2)
    for scenarios in options.scenarios:
        rows = prepared(options.out / f"s{scenarios}", 100_000, scenarios)
        for name in options.networks:
            race = Race(NETWORKS[name], rows, scenarios, 2)
            batches = [one for _, (_, one) in zip(range(options.steps), race.loader().epoch(0), strict=False)]
            found: dict[str, float] = {}
            for kind in ("plain", "compiled"):
                made = race.parts()
                optimizer = Optimizer({"model": made.model}, made.training, 1000)
                model = torch.compile(made.model, dynamic=True) if kind == "compiled" else made.model
                started = time.perf_counter()
                for batch in batches[:2]:
                    step(made, model, batch, optimizer, 0)
                found[f"{kind}_first_s"] = round(time.perf_counter() - started, 1)
                found[kind] = max(round(speed(made, model, batches, optimizer)) for _ in range(options.rounds))
            found["ratio"] = round(found["compiled"] / found["plain"], 2)
            print(json.dumps({"network": name, "scenarios": scenarios, **found}), flush=True)


if __name__ == "__main__":
    main()
