"""A new scenario with few rows: an adapter, against training from scratch and against tuning everything.

    .venv/bin/python benchmarks/autoifs_new_scenario.py --out runs/adapter

World `balanced`: the largest scenario is held back, a model of `autoifs-noselect` is trained on the other four. Then
the new one comes with 1,000, 10,000 or 100,000 rows (a tenth of them validates, a tenth is left to `adapt`'s own
report). All are judged on its rows in the last tenth of time, against the true probabilities; the others' drift is
the largest difference of a score of theirs, and the change of their AUC. Every way has the same budget (`adapt`'s).
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import polars as pl
import torch

from polyrec.artifact import Bundle
from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.files import Source
from polyrec.data.held import ByScenario, where
from polyrec.data.loader import Loader
from polyrec.data.simulate import judge, simulate
from polyrec.data.split import split
from polyrec.evaluation import collect
from polyrec.evaluation.validation import validation
from polyrec.objectives import balance
from polyrec.recipes.adapt import TRAINING, adapt
from polyrec.recipes.adapters import with_scenario
from polyrec.recipes.fit import fit
from polyrec.schema import Target
from polyrec.shapes import Tensor
from polyrec.training import Evaluation, Stage, train

NEW = "s0"
MODEL = {"dim": 8, "widths": [128, 64], "scenario_widths": [32]}
SCRATCH = {"dim": 8, "widths": [128, 64], "tower_widths": [32]}
BASE = {"epochs": 2, "batch_size": 1024, "lr": 2e-3, "table_lr": 0.05, "evaluations": 1, "threads": 1}
OWN = {
    "epochs": TRAINING.epochs,
    "batch_size": TRAINING.batch_size,
    "lr": TRAINING.lr,
    "evaluations": 1,
    "patience": TRAINING.patience,
    "metric": "log_loss",
    "threads": 1,
}
TARGETS = {Target("click"): "p_click", Target("buy"): "p_buy"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/adapter"))
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--budgets", type=int, nargs="+", default=(1_000, 10_000, 100_000))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        world = prepared(options.out / f"world{seed}", options.rows, seed)
        for budget in options.budgets:
            for name, one in ways(world, budget, seed).items():
                found.setdefault((name, budget), []).append(one)
                sys.stdout.write(f"{seed} {budget} {name} {json.dumps(one)}\n")
                sys.stdout.flush()
    names = ("click AUC", "buy AUC", "click excess", "buy excess", "score drift", "AUC drift")
    sys.stdout.write("| rows | way | " + " | ".join(names) + " |\n")
    for (name, budget), many in sorted(found.items(), key=lambda item: item[0][1]):
        shown = [spread([one[key] for one in many]) for key in names]
        sys.stdout.write(f"| {budget:,} | {name} | {' | '.join(shown)} |\n")


def spread(values: list[float]) -> str:
    return f"{mean(values):.4g} ± {stdev(values) if len(values) > 1 else 0:.2g}"


def prepared(folder: Path, rows: int, seed: int) -> Path:
    """A world, the rows of the others and of the new scenario apart, and a model of the others."""
    if not (folder / "base" / "report.json").exists():
        simulate(folder, rows=rows, preset="balanced", seed=seed)
        log = pl.read_parquet(folder / "log.parquet")
        truth = pl.read_parquet(folder / "truth.parquet").select(TARGETS.values())
        last = len(log) * 9 // 10
        new = log["scenario"].cast(pl.String) == NEW
        log[:last].filter(~new[:last]).write_parquet(folder / "others.parquet")
        log[:last].filter(new[:last]).write_parquet(folder / "new.parquet")
        for name, mine in (("new", new[last:]), ("others", ~new[last:])):
            log[last:].filter(mine).write_parquet(folder / f"{name}-test.parquet")
            truth[last:].filter(mine).write_parquet(folder / f"{name}-truth.parquet")
        run = RunConfig("autoifs-noselect", data(folder, "others"), model=MODEL, training={**BASE, "seed": seed})
        fit(run, folder / "base", resume=True)
    return folder


def data(folder: Path, name: str) -> DataConfig:
    text = (folder / "schema.toml").read_text()
    path = folder / f"schema-{'others' if name == 'others' else 'new'}.toml"
    lines = [line for line in text.splitlines() if not line.startswith(("scenarios", "unknown_scenario"))]
    path.write_text("\n".join(['unknown_scenario = "shared"', *lines]))
    return DataConfig(str(path), log=(str(folder / f"{name}.parquet"),), split=Split(valid=0.1, test=0.1))


def ways(world: Path, budget: int, seed: int) -> dict[str, dict[str, float]]:
    base = Bundle.load(world / "base" / "bundle")
    name = f"new-{budget}"
    rows = pl.read_parquet(world / "new.parquet")
    if len(rows) < budget:
        raise SystemExit(f"{len(rows)} rows of {NEW}: fewer than {budget}. Give more --rows.")
    chosen = np.sort(np.random.default_rng(seed).choice(len(rows), budget, replace=False))
    rows[chosen].write_parquet(world / f"{name}.parquet")
    files = [str(world / f"{name}.parquet")]
    found: dict[str, Bundle] = {"as it is (unknown scenario)": base}
    for start in ("zero", "nearest"):
        out = world / f"adapter-{start}-{budget}"
        if not (out / "report.json").exists():
            adapt(world / "base", NEW, files, out, start=start, training=replace(TRAINING, seed=seed))
        found[f"adapter, from {start}"] = Bundle.load(out / "bundle")
    found["everything tuned"] = tuned(base, files, seed)
    out = world / f"scratch-{budget}"
    if not (out / "report.json").exists():
        fit(RunConfig("pooled", data(world, name), model=SCRATCH, training={**OWN, "seed": seed}), out)
    found["from scratch"] = Bundle.load(out / "bundle")
    return {way: judged(bundle, base, world, way == "from scratch") for way, bundle in found.items()}


def tuned(base: Bundle, files: list[str], seed: int) -> Bundle:
    """All weights trained on the new scenario's rows, from the model with an adapter that adds nothing."""

    def zero(name: str, old: Tensor, fresh: Tensor) -> Tensor:
        return old.mean(0) if name.endswith("inputs.scenario") else fresh

    grown = with_scenario(base, NEW, zero)
    parts = split(DataConfig(schema="", log=tuple(files)), grown.schema)
    rows = {
        part: where(Loader(source, grown.encoder, batch_size=2048).ordered(), lambda batch: batch.scenario >= 0)
        for part, source in (("train", parts.train), ("valid", parts.valid))
    }

    def evaluate() -> Evaluation:
        held = rows["valid"]
        pieces = (held.select(torch.arange(at, min(at + 2048, len(held)))) for at in range(0, len(held), 2048))
        score = validation(collect.run(grown.logits, pieces, model=grown.model, rows=len(held)), "log_loss")
        return Evaluation(None if score.mean is None else -score.mean, {})

    train(
        Stage("tune", replace(TRAINING, seed=seed)),
        grown.model,
        grown.objective,
        balance.build("fixed", grown.objective.terms),
        ByScenario(rows["train"], batch_size=TRAINING.batch_size, seed=seed),
        evaluate,
    )
    grown.model.eval()
    return grown


def judged(bundle: Bundle, base: Bundle, world: Path, alone: bool) -> dict[str, float]:
    truth = pl.read_parquet(world / "new-truth.parquet")
    said = scores(bundle, world / "new-test.parquet")
    found: dict[str, float] = {}
    for target, column in TARGETS.items():
        score = judge(said[target], truth[column].to_numpy())
        found[f"{target.task} AUC"] = float(score.auc or 0)
        found[f"{target.task} excess"] = 1000 * (score.log_loss - score.least)
    found["score drift"] = found["AUC drift"] = 0.0
    if not alone:
        others = pl.read_parquet(world / "others-truth.parquet")["p_click"].to_numpy()
        before, after = (scores(one, world / "others-test.parquet") for one in (base, bundle))
        found["score drift"] = max(float(np.abs(after[one] - before[one]).max()) for one in TARGETS)
        click = Target("click")
        found["AUC drift"] = float(judge(after[click], others).auc or 0) - float(judge(before[click], others).auc or 0)
    return found


def scores(bundle: Bundle, path: Path) -> Mapping[Target, Any]:
    found: dict[Target, list[np.ndarray]] = {target: [] for target in TARGETS}
    for batch in Loader(Source((path,)), bundle.encoder, batch_size=2048).ordered():
        said = bundle.probabilities(batch)
        for target, many in found.items():
            many.append(said[target].double().numpy())
    return {target: np.concatenate(many).clip(1e-9, 1 - 1e-9) for target, many in found.items()}


if __name__ == "__main__":
    main()
