"""Rows a second of polyrec from parquet, of a loop written by hand, and of the usual way; ratios within one run.

    .venv/bin/python benchmarks/speed/measure.py --out runs/speed
    .venv/bin/python benchmarks/speed/measure.py --out runs/speed --networks mmoe --scenarios 3

All start from the same weights and read the same rows in the same order; the reference's losses must be polyrec's, step
by step, the naive loop's first loss too (its Adam over whole tables goes another way from there). Programs take turns;
medians of rounds. Lines of JSON in `speed.jsonl`, and a table on the screen.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from log import SIZES, write
from loops import Naive, Reference, Rows
from networks import NETWORKS, Network
from torch.utils.flop_counter import FlopCounterMode

from polyrec.batch import Batch, Output
from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.loader import Loader
from polyrec.objectives import Objective
from polyrec.recipes.assemble import Assembly, assemble
from polyrec.recipes.prepare import Prepared, prepare
from polyrec.training import Evaluation, Stage, train

RECIPES = {"aem2tl": "aem2tl-no-entire-space", "autoifs": "autoifs-noselect"}
START = (-3.0, -1.0)  # logits of click and of buy after a click before anything is learned


@dataclass
class Race:
    """One network on one log."""

    network: Network
    rows: Prepared
    scenarios: int
    threads: int
    batch: int = 4096

    def parts(self) -> Assembly:
        name = self.network.name
        run = RunConfig(
            RECIPES.get(name, name),
            DataConfig(schema="-", log=("-",)),
            model=self.network.options,
            training={"epochs": 1, "threads": self.threads, "balancer": "fixed", "seed": 0},
        )
        made = assemble(run, self.rows.encoder.layout)
        made.objective.start.copy_(torch.tensor(START))
        return made

    def loader(self) -> Loader:
        return Loader(self.rows.splits.train, self.rows.encoder, batch_size=self.batch, seed=0)

    def polyrec(self) -> tuple[list[float], float]:
        """From parquet to weights, by the training loop that `polyrec fit` uses."""
        made = self.parts()
        losses = _listen(made.objective)
        started = time.perf_counter()
        history = train(
            Stage("train", made.training),
            made.model,
            made.objective,
            made.balancer,
            self.loader(),
            lambda: Evaluation(None, {}),
        )
        return [float(one) for one in losses], history.rows / (time.perf_counter() - started)

    def reference(self) -> tuple[list[float], float]:
        made = self.parts()
        starts = torch.tensor(made.model.inputs.embedding.starts)
        batches = [(batch.ids.long() + starts, batch.scenario, batch.labels) for _, batch in self.loader().epoch(0)]
        return Reference(self.network, dict(made.model.named_parameters()), torch.tensor(START)).run(batches)

    def naive(self, steps: int) -> tuple[list[float], float]:
        made = self.parts()
        inputs = made.model.inputs
        batches = [batch for _, batch in zip(range(steps + 1), self.loader().epoch(0), strict=False)]
        whole = {
            name: torch.cat([batch.ids[:, place] for _, batch in batches]).long().numpy()
            for place, name in enumerate(SIZES)
        }
        labels = torch.cat([batch.labels for _, batch in batches]).numpy()
        whole |= {"click": labels[:, 0], "buy": labels[:, 1]}
        whole["scenario"] = torch.cat([batch.scenario for _, batch in batches]).numpy()
        sizes = [field.size for field in self.rows.encoder.layout.categorical]
        naive = Naive(
            self.network, dict(made.model.named_parameters()), torch.tensor(START), inputs.embedding.starts, sizes
        )
        return naive.run(Rows(whole), list(SIZES), self.scenarios, len(batches[0][1]), steps)

    def scored(self) -> float:
        """Rows a second from encoded rows to the logits of every target."""
        made = self.parts()
        made.model.eval()
        batches = [batch for _, batch in zip(range(40), self.loader().epoch(0), strict=False)]
        with torch.inference_mode():
            made.objective.predict(made.model(batches[0][1]))
            started = time.perf_counter()
            for _, batch in batches:
                made.objective.predict(made.model(batch))
        return sum(len(batch) for _, batch in batches) / (time.perf_counter() - started)

    def operations(self) -> float:
        """Floating-point operations of the products in a training step, by row."""
        made = self.parts()
        _, batch = next(self.loader().epoch(0))
        with FlopCounterMode(display=False) as counter:
            torch.stack(list(made.objective(made.model(batch), batch).values())).sum().backward()
        return counter.get_total_flops() / len(batch)


def _listen(objective: Objective) -> list[torch.Tensor]:
    """The total of every call's terms, as they come."""
    heard, plain = [], objective.forward

    def forward(output: Output, batch: Batch) -> Mapping[str, torch.Tensor]:
        terms = plain(output, batch)
        heard.append(torch.stack([one.detach() for one in terms.values()]).sum())
        return terms

    objective.forward = forward
    return heard


def matmul() -> float:
    """The most operations a second of a float32 product here."""
    a, b, best = torch.rand(2048, 2048), torch.rand(2048, 2048), 0.0
    for _ in range(20):
        started = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048**3 / (time.perf_counter() - started))
    return best


def same(ours: list[float], theirs: list[float], what: str) -> None:
    count = min(len(ours), len(theirs))
    gap = float(np.abs(np.divide(ours[:count], theirs[:count]) - 1).max())
    if not gap < 2e-3:
        raise SystemExit(f"{what}: losses differ by {gap:.2%}: not the same mathematics")


def prepared(folder: Path, rows: int, scenarios: int) -> Prepared:
    write(folder, rows, scenarios)
    data = DataConfig(
        schema=str(folder / "schema.toml"),
        log=(str(folder / "log.parquet"),),
        split=Split(by="random", valid=0.01, test=0.01),
    )
    return prepare(data)


def measure(race: Race, rounds: int, steps: int) -> dict[str, Any]:
    found: dict[str, list[float]] = {"matmul": [], "polyrec": [], "reference": [], "naive": [], "scoring": []}
    for _ in range(rounds):
        found["matmul"].append(matmul())
        ours, speed = race.polyrec()
        found["polyrec"].append(speed)
        theirs, speed = race.reference()
        found["reference"].append(speed)
        same(ours, theirs, f"{race.network.name}, reference")
        if steps:
            usual, speed = race.naive(steps)
            same(ours[:1], usual[:1], f"{race.network.name}, naive")
            found["naive"].append(speed)
        found["scoring"].append(race.scored())
    each = race.operations()
    line = {name: median(many) for name, many in found.items() if many}
    return {
        "network": race.network.name,
        "scenarios": race.scenarios,
        **{name: round(value) for name, value in line.items()},
        "operations": round(each),
        "share": round(each * line["polyrec"] / max(found["matmul"]), 3),
        "to_reference": round(median(a / b for a, b in zip(found["polyrec"], found["reference"], strict=True)), 2),
        "to_naive": round(line["polyrec"] / line["naive"], 1) if steps else None,
        "threads": race.threads,
        "batch": race.batch,
        "rows": race.rows.splits.train.rows(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/speed"))
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--scenarios", type=int, nargs="+", default=[3, 30, 300])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--naive-steps", type=int, default=4, help="after a first one; 0: no naive loop")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for scenarios in options.scenarios:
        rows = prepared(options.out / f"s{scenarios}", options.rows, scenarios)
        for name in options.networks:
            race = Race(NETWORKS[name], rows, scenarios, options.threads, options.batch)
            line = measure(race, options.rounds, options.naive_steps)
            print(json.dumps(line), flush=True)
            with (options.out / "speed.jsonl").open("a") as lines:
                lines.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
