"""What a search selects, without the retraining: gates against planted useless flows, by schedule.

    python benchmarks/autoifs_search.py --worlds runs/flows/world0 runs/flows/world1 runs/flows/world2

For each world and schedule: precision and recall of the pruned flows, and the AUC with which w ranks useless flows
above useful ones (0.5: no better than chance); the same at the random start.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyrec import models, objectives
from polyrec.batch import Batch
from polyrec.config import DataConfig, TrainingConfig
from polyrec.data.held import where
from polyrec.data.loader import Loader, Position
from polyrec.data.simulate import describe
from polyrec.metrics.binary import auc
from polyrec.nn.flows import FLOWS
from polyrec.recipes.prepare import prepare
from polyrec.training import Evaluation, Stage, train

TASKS = ("click", "action", "buy")
MODEL: dict[str, Any] = {"dim": 8, "widths": (128, 64), "scenario_widths": (32,), "anneal": "step"}
BLIND = {"scenario_feature": False}
# name: options of the model, rate of the selector over the rest's, epochs
SCHEDULES: dict[str, tuple[dict[str, Any], float, int]] = {
    "published ratio": ({}, 0.01, 2),
    "ratio 1": ({}, 1.0, 2),
    "ratio 50": ({}, 50.0, 2),
    "ratio 50 price .001": ({"price": 0.001}, 50.0, 2),
    "ratio 10 blind": (BLIND, 10.0, 2),
    "ratio 50 blind": (BLIND, 50.0, 2),
    "ratio 50 blind price .0003": ({**BLIND, "price": 0.0003}, 50.0, 2),
    "ratio 50 blind price .001": ({**BLIND, "price": 0.001}, 50.0, 2),
    "ratio 50 blind price .003": ({**BLIND, "price": 0.003}, 50.0, 2),
    "ratio 50 blind price .001 straight": ({**BLIND, "price": 0.001, "gates": "straight"}, 50.0, 2),
    "ratio 50 blind price .001 peak 5": ({**BLIND, "price": 0.001, "peak": 5.0}, 50.0, 2),
    "ratio 10 blind price .001 peak 5": ({**BLIND, "price": 0.001, "peak": 5.0}, 10.0, 2),
    "select blind price .001": ({**BLIND, "price": 0.001, "fusion": "select"}, 50.0, 2),
    "subtract blind price .001": ({**BLIND, "price": 0.001, "fusion": "subtract"}, 50.0, 2),
}


class Held:
    """Rows in memory, shuffled each epoch."""

    def __init__(self, rows: Batch, size: int, seed: int) -> None:
        self.held, self.size, self.seed = rows, size, seed
        self.rows, self.steps = len(rows), len(rows) // size

    def epoch(self, number: int, start: Position) -> Iterator[tuple[Position, Batch]]:
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(1000 * self.seed + number))
        for step in range(start.batch, self.steps):
            rows = order[step * self.size : (step + 1) * self.size]
            yield (Position(0, step + 1) if step < self.steps - 1 else Position(1, 0)), self.held.select(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=Path, nargs="+", required=True)
    parser.add_argument("--only", nargs="*", default=list(SCHEDULES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed, world in enumerate(options.worlds):
        prepared = prepare(DataConfig(str(world / "schema.toml"), log=(str(world / "log.parquet"),)))
        loader = Loader(prepared.splits.train, prepared.encoder, batch_size=8192, shuffle_rows=65_536)
        rows = where(loader.ordered(), lambda batch: batch.scenario >= 0)
        flows, names = describe(world)["flows"], prepared.encoder.layout.scenarios
        useless = np.array([[[flows[flow][s][t] == 0 for flow in FLOWS] for t in TASKS] for s in names])
        for name in options.only:
            print(f"{world.name}  {name:<36} {searched(rows, useless, seed, *SCHEDULES[name])}", flush=True)


def searched(rows: Batch, useless: np.ndarray, seed: int, more: dict[str, Any], ratio: float, epochs: int) -> str:
    torch.manual_seed(seed)
    objective = objectives.build("pointwise", rows.layout)
    model = models.build("autoifs", rows.layout, objective.heads, {**MODEL, **more})
    before = told(model.selector.network.weight.detach().numpy(), useless)
    training = TrainingConfig(
        epochs=epochs, batch_size=1024, lr=2e-3, table_lr=0.05, evaluations=1, lr_ratios={"selector.*": ratio}
    )
    balancer = objectives.balance.build("fixed", objective.terms)
    stage = Stage("search", training, keep="last")
    train(stage, model, objective, balancer, Held(rows, 1024, seed), lambda: Evaluation(None, {}))
    return f"{told(model.selector.network.weight.detach().numpy(), useless)}   (at the start: {before})"


def told(w: np.ndarray, useless: np.ndarray) -> str:
    pruned = w > 0
    both = int((pruned & useless).sum())
    area = auc(w.ravel().astype(np.float32), useless.ravel()).value
    return (
        f"pruned {int(pruned.sum()):2d} of {w.size}, precision {both / max(int(pruned.sum()), 1):.2f}, "
        f"recall {both / int(useless.sum()):.2f}, ranks {area:.2f}"
    )


if __name__ == "__main__":
    main()
