"""The ladder of docs/worlds.md: what each rung reaches on each simulated world, judged against the truth.

    .venv/bin/python benchmarks/ladder.py --out runs/ladder

Constant rate per scenario, `single`, `pooled`, the same fine-tuned per scenario, a larger one on ten times the rows,
and the oracle. All are tested on the last tenth by time of the larger log. A finished run is not run again.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from trained import fine_tuned, prepared_world, sigmoid, train_one

from polyrec.data.simulate import PRESETS, judge, simulate
from polyrec.recipes.prepare import Prepared
from polyrec.schema import Target

SMALL: dict[str, dict[str, Any]] = {
    "single": {"dim": 8, "widths": (64, 32), "tower_widths": (16,)},
    "pooled": {"dim": 8, "widths": (64, 32), "tower_widths": (16,)},
}
LARGE: dict[str, Any] = {"dim": 16, "widths": (128, 64), "tower_widths": (32,)}
TRAINING = {
    "batch_size": 1024,
    "epochs": 6,
    "evaluations": 2,
    "patience": 2,
    "metric": "log_loss",
    "table_lr": 0.03,
    "table_decay": 1e-3,
    "threads": 1,
}
TARGETS = (Target("click"), Target("buy"))
RUNGS = ("constant", "single", "pooled", "fine-tuned", "ten times the rows", "oracle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/ladder"))
    parser.add_argument("--presets", nargs="+", default=list(PRESETS))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--large-seeds", type=int, default=1, help="of the larger model on ten times the rows")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        seed = int(options.one[1])
        climb(options.out, options.one[0], options.rows, seed, large=seed < options.large_seeds)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for preset in options.presets:
            for rows in (options.rows, 10 * options.rows):
                world = options.out / f"{preset}-{rows}"
                if not world.exists():
                    simulate(world, rows=rows, preset=preset, seed=0)
            if not kept(options.out, preset, options.rows, seed).exists():
                subprocess.run([sys.executable, *sys.argv, "--one", preset, str(seed)], check=True)
    for task in ("click", "buy"):
        sys.stdout.write(f"\n{task}, AUC against the truth, all rows pooled\n\n{table(options, task, '*')}\n")
    for cell, words in (("macro", "mean of scenarios"), ("smallest", "the smallest scenario")):
        sys.stdout.write(f"\nclick, AUC against the truth, {words}\n\n{table(options, 'click', cell)}\n")


def kept(out: Path, preset: str, rows: int, seed: int) -> Path:
    return out / f"{preset}-{rows}-{seed}.json"


def climb(out: Path, preset: str, rows: int, seed: int, *, large: bool) -> None:
    """Every rung of one world with one seed."""
    world, larger = out / f"{preset}-{rows}", out / f"{preset}-{10 * rows}"
    many = prepared_world(larger)
    prepared = prepared_world(world)
    prepared = replace(prepared, splits=replace(prepared.splits, test=many.splits.test))
    training = {**TRAINING, "seed": seed}
    found: dict[str, Any] = {"constant": judged(larger, prepared, constant(prepared))}
    pooled = train_one(world, "pooled", SMALL["pooled"], {}, training, prepared)
    single = train_one(world, "single", SMALL["single"], {}, training, prepared)
    tuned = fine_tuned(pooled, prepared, {**training, "table_lr": 0.01, "epochs": 4})
    for name, collected in (("single", single.collected), ("pooled", pooled.collected), ("fine-tuned", tuned)):
        found[name] = judged(larger, prepared, {one: sigmoid(collected.logits[one]) for one in TARGETS})
    if large:
        best = train_one(larger, "pooled", LARGE, {}, {**training, "epochs": 3, "batch_size": 4096}, many)
        found["ten times the rows"] = judged(
            larger, many, {one: sigmoid(best.collected.logits[one]) for one in TARGETS}
        )
    found["oracle"] = judged(larger, many, None)
    kept(out, preset, rows, seed).write_text(json.dumps(found) + "\n", encoding="utf-8")


def constant(prepared: Prepared) -> dict[Target, np.ndarray]:
    """Each scenario's rate among training rows, for the test rows."""
    assert prepared.splits.test is not None
    rows = prepared.splits.train.scan().select("scenario", "click", "buy").group_by("scenario").mean().collect()
    rates = {name: values for name, *values in rows.rows()}
    scenario = prepared.splits.test.scan().select("scenario").collect()["scenario"].cast(str).to_list()
    return {one: np.array([rates[name][place] for name in scenario]) for place, one in enumerate(TARGETS)}


def judged(world: Path, prepared: Prepared, said: Mapping[Target, np.ndarray] | None) -> dict[str, Any]:
    """AUC against the truth by task and scenario; of the truth itself where nothing is said."""
    assert prepared.splits.test is not None
    count = prepared.splits.test.rows()
    scenario = np.asarray(pq.read_table(world / "log.parquet", columns=["scenario"])["scenario"].to_pylist()[-count:])
    truth = pq.read_table(world / "truth.parquet", columns=[one.column for one in TARGETS])
    names = prepared.schema.scenarios
    found: dict[str, Any] = {}
    for target in TARGETS:
        true = np.asarray(truth[target.column], np.float64)[-count:]
        values = true if said is None else said[target]
        cells = {"*": np.ones(count, bool), **{name: scenario == name for name in names}}
        found[target.task] = {name: judge(_within(values[at]), true[at]).auc for name, at in cells.items() if at.any()}
        found[target.task]["smallest"] = found[target.task][sorted(names)[-1]]
        found[target.task]["macro"] = mean(found[target.task][name] for name in names)
    return found


def _within(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 1e-7, 1 - 1e-7)


def table(options: argparse.Namespace, task: str, cell: str) -> str:
    lines = ["| world | " + " | ".join(RUNGS) + " |", "|---" * (len(RUNGS) + 1) + "|"]
    for preset in options.presets:
        runs = [json.loads(kept(options.out, preset, options.rows, s).read_text()) for s in range(options.seeds)]
        many = [[one[rung][task][cell] for one in runs if rung in one] for rung in RUNGS]
        lines.append(f"| {preset} | " + " | ".join(map(_spread, many)) + " |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    sd = stdev(values) if len(values) > 1 else 0.0
    return f"{mean(values):.3f}" if sd < 5e-4 else f"{mean(values):.3f} ± {sd:.3f}"


if __name__ == "__main__":
    main()
