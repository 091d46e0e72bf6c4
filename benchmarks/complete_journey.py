"""The table of docs/results/complete_journey.md: every recipe, several seeds, one protocol.

    .venv/bin/python benchmarks/complete_journey.py impressions.parquet --out runs/journey

Train weeks up to 38, validate on 39 and 40, test on 41 to 48. A finished run is not run again. Two runs at a time,
one thread each.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from polyrec.data.sources import complete_journey
from polyrec.schema import Target

RECIPES = ("pooled", "single", "shared_bottom", "mmoe", "ple", "star", "pepnet")
RUN = """recipe = "mmoe"
[data]
schema = "schema.toml"
log = ["{log}"]
split = {{ by = "time", valid_from = 39, test_from = 41 }}
[objective]
task_weights = {{ rebuy28 = 5.0 }}
[training]
epochs = 2
evaluations = 2
patience = 1
warmup = 100
threads = 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/journey"))
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    schema = complete_journey.schema()
    schema = replace(schema, keys=replace(schema.keys, time="week"))
    (options.out / "schema.toml").write_text(schema.to_toml(), encoding="utf-8")
    (options.out / "run.toml").write_text(RUN.format(log=options.log.resolve()), encoding="utf-8")
    runs = [(recipe, seed) for seed in range(options.seeds) for recipe in options.recipes]
    with ThreadPoolExecutor(options.at_once) as pool:
        list(pool.map(lambda one: fit(options.out, *one), runs))
    sys.stdout.write(table(options.out, options.recipes, options.seeds) + "\n")


def fit(folder: Path, recipe: str, seed: int) -> None:
    out = folder / f"{recipe}-{seed}"
    if (out / "report.json").exists():
        return
    command = [sys.executable, "-m", "polyrec", "fit", folder / "run.toml", "--out", out, "--resume"]
    command += ["--set", f"recipe={recipe}", "--seed", str(seed)]
    subprocess.run([str(one) for one in command], check=True, stdout=subprocess.DEVNULL)


def table(folder: Path, recipes: Sequence[str], seeds: int) -> str:
    targets = (Target("buy"), Target("rebuy28"), Target("rebuy28", "buy"))
    header = ["recipe", "validation", *(f"{one.name}, pooled" for one in targets), "rebuy28_given_buy, mean", "weights"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    rows = []
    for recipe in recipes:
        found = [read(folder / f"{recipe}-{seed}") for seed in range(seeds)]
        validation = [one["validation"] for one in found]
        cells = [[one["*", target.name] for one in found] for target in targets]
        cells.append([one["macro", "rebuy28_given_buy"] for one in found])
        shown = [f"{mean(one):.4f} ± {stdev(one):.4f}" for one in (validation, *cells)]
        rows.append((mean(validation), f"| `{recipe}` | {' | '.join(shown)} | {found[0]['parameters']:,} |"))
    return "\n".join([*lines, *(line for _, line in sorted(rows, reverse=True))])


def read(out: Path) -> dict[Any, Any]:
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    found: dict[Any, Any] = {"parameters": report["run"]["parameters"]}
    for cell in report["cells"]:
        if cell["metric"] == "auc":
            found[cell["scenario"], Target(cell["task"], cell["space"]).name] = cell["value"]
    events = [json.loads(line) for line in (out / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    found["validation"] = max(event["score"] for event in events if event["kind"] == "evaluation")
    return found


if __name__ == "__main__":
    main()
