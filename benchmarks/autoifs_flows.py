"""AutoIFS on worlds whose useless flows are planted: what it prunes, and what that is worth.

    python benchmarks/autoifs_flows.py --out runs/flows --rows 300000 --seeds 3 --only autoifs autoifs-noselect

For each seed a world (`simulate --preset flows`), for each variant a fit, and a line: precision and recall of the
pruned flows against the planted useless ones (a flow of a cell counts as pruned where most test rows prune it), and
the log-loss of each task against the true probabilities, above the oracle's, in thousandths.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from polyrec.artifact import Bundle
from polyrec.config import DataConfig, RunConfig
from polyrec.data.simulate import describe, judge, simulate
from polyrec.models import autoifs
from polyrec.nn.flows import FLOWS
from polyrec.nn.selector import CellSelector
from polyrec.recipes import recipe
from polyrec.recipes.autoifs import MOVING, RECIPE
from polyrec.recipes.fit import fit
from polyrec.recipes.prepare import prepare
from polyrec.recipes.recipe import StageOptions
from polyrec.recipes.rows import Rows

SIZE = {"dim": 8, "widths": [128, 64], "scenario_widths": [32]}
TRAINING: dict[str, Any] = {
    "batch_size": 1024,
    "lr": 2e-3,
    "table_lr": 0.05,
    "threads": 1,
    "epochs": 4,
    "evaluations": 1,
    "patience": 1,
}
SEARCH: dict[str, Any] = {"patience": 99}
TRUTH = {"click": "p_click", "action": "p_action_given_click", "buy": "p_buy_given_click"}
VARIANTS: dict[str, dict[str, Any]] = {
    "autoifs": {},
    "autoifs-noselect": {"recipe": "autoifs-noselect"},
    "autoifs-randomgates": {"recipe": "autoifs-randomgates"},
    "oracle gates": {"recipe": "oracle"},
    "published schedule": {"recipe": "autoifs-paper"},
    "select": {"recipe": "autoifs-select"},
}
BLIND = {"scenario_feature": False}
VARIANTS["noselect blind"] = {"recipe": "autoifs-noselect", "model": BLIND}
VARIANTS["oracle gates blind"] = {"recipe": "oracle", "model": BLIND}
VARIANTS["randomgates blind"] = {"recipe": "autoifs-randomgates", "model": BLIND}
for price in (0.0, 0.00001, 0.00003, 0.0001, 0.0005, 0.001, 0.002, 0.004):
    VARIANTS[f"blind price {price}"] = {"ratio": 50.0, "model": {**BLIND, "price": price}}
VARIANTS["search of 2"] = {"epochs": 2}
VARIANTS["noselect, select fusion"] = {"recipe": "autoifs-noselect", "model": {"fusion": "select"}}
VARIANTS["wait 0"] = {"model": {"wait": 0.0}}
for ratio in (1, 20, 100):
    for price in (0.0, 0.0005, 0.002):
        VARIANTS[f"ratio {ratio} price {price}"] = {"ratio": float(ratio), "model": {"price": price}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--scenarios", type=int, default=5)
    parser.add_argument("--metric", default="auc", help="what stops a stage")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    options = parser.parse_args()
    TRAINING["metric"] = options.metric
    recipe.add(replace(RECIPE, name="oracle", stages=(StageOptions("train", {}, {"gates": "hard"}, trainable=MOVING),)))
    for seed in range(options.first, options.first + options.seeds):
        world = options.out / f"world{seed}"
        if not world.exists():
            simulate(world, rows=options.rows, preset="flows", seed=seed, scenarios=options.scenarios)
        data = DataConfig(str(world / "schema.toml"), log=(str(world / "log.parquet"),))
        prepared = prepare(data)
        for name in options.only:
            out = options.out / f"{name.replace(' ', '_')}-{seed}"
            result = out / "flows.json"
            if not result.exists():
                found = one(VARIANTS[name], data, prepared, world, out, seed)
                result.write_text(json.dumps(found))
            print(name, seed, result.read_text(), flush=True)


def one(variant: dict[str, Any], data: DataConfig, prepared: Any, world: Path, out: Path, seed: int) -> dict[str, Any]:
    name = variant.get("recipe", "autoifs")
    paper = name == "autoifs-paper"
    stages = {"search": {"lr_ratios": {"selector.*": variant["ratio"]}}} if "ratio" in variant else {}
    training = {
        key: value for key, value in TRAINING.items() if not paper or key in ("threads", "batch_size", "metric")
    }
    if name in ("autoifs", "autoifs-select", "autoifs-randomgates"):
        stages.setdefault("search", {})["epochs"] = variant.get("epochs", 4)
    size = {**SIZE, "rank": 2, "selector_widths": [128, 64]} if paper else SIZE
    run = RunConfig(
        name, data, model={**size, **variant.get("model", {})}, training={**training, "seed": seed}, stages=stages
    )
    with planted(world) if name == "oracle" else nullcontext():
        folder = fit(run, out, prepared=prepared, resume=True)
        return judged(Bundle.load(folder.bundle), Rows(run, prepared), world)


@contextmanager
def planted(world: Path) -> Iterator[None]:
    """Cell selectors that prune the planted useless flows."""
    flows = describe(world)["flows"]
    useless = torch.tensor(
        [[[flows[flow][s][t] == 0 for flow in FLOWS] for t in TRUTH] for s in describe(world)["scenarios"]]
    )

    class Planted(CellSelector):
        def __init__(self, scenarios: int, *, heads: int, flows: int, spread: float = 0.0) -> None:
            super().__init__(scenarios, heads=heads, flows=flows, spread=spread)
            self.weight.data = useless.float() * 2 - 1

    autoifs.CellSelector = Planted  # type: ignore[misc]
    try:
        yield
    finally:
        autoifs.CellSelector = CellSelector  # type: ignore[misc]


@torch.inference_mode()
def judged(bundle: Bundle, rows: Rows, world: Path) -> dict[str, Any]:
    source = rows.prepared.splits.test
    gates, scenarios, predicted = [], [], {task: [] for task in TRUTH}
    for batch in rows.batches(source):
        output = bundle.model(batch)
        gates.append(torch.stack([output.hidden[f"prune/{head}"] for head in TRUTH]))
        scenarios.append(batch.scenario)
        for target, logit in bundle.objective.predict(output).items():
            if (target.space == "all") == (target.task == "click"):
                predicted[target.task].append(torch.sigmoid(logit.double()))
    scenario = torch.cat(scenarios)
    prune = torch.cat(gates, 1)  # [T, B, 4]
    truth = pq.read_table(world / "truth.parquet").slice(len(pq.read_table(world / "truth.parquet")) - len(scenario))
    flows, names = describe(world)["flows"], describe(world)["scenarios"]
    hits = {"pruned": 0, "useless": 0, "both": 0}
    shares = []
    for s, name in enumerate(names):
        for t, task in enumerate(TRUTH):
            for j, flow in enumerate(FLOWS):
                share = float(prune[t][scenario == s][:, j].mean())
                shares.append(share)
                useless = flows[flow][name][task] == 0
                hits["pruned"] += share > 0.5
                hits["useless"] += useless
                hits["both"] += share > 0.5 and useless
    losses = {}
    for task, column in TRUTH.items():
        weight = truth["p_click"].to_numpy() if task != "click" else None
        found = excess(torch.cat(predicted[task]).numpy(), truth[column].to_numpy(), weight)
        losses[task] = round(1000 * found, 3)
    return {
        "precision": round(hits["both"] / max(hits["pruned"], 1), 3),
        "recall": round(hits["both"] / hits["useless"], 3),
        "pruned": hits["pruned"],
        "undecided": sum(0.05 < share < 0.95 for share in shares),
        "loss": losses,
        "mean": round(sum(losses.values()) / 3, 3),
    }


def excess(predicted: np.ndarray, true: np.ndarray, weight: np.ndarray | None) -> float:
    """Mean Kullback-Leibler divergence from the truth, in nats."""
    if weight is None:
        found = judge(predicted, true)
        return found.log_loss - found.least
    p, q = np.clip(predicted, 1e-9, 1 - 1e-9), np.clip(true, 1e-9, 1 - 1e-9)
    kl = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    return float((kl * weight).sum() / weight.sum())


if __name__ == "__main__":
    main()
