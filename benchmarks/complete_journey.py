"""The tables of docs/results/complete_journey.md and planted_truth.md: recipes, several seeds, one protocol each.

    .venv/bin/python benchmarks/complete_journey.py impressions.parquet --out runs/journey
    .venv/bin/python benchmarks/complete_journey.py impressions.parquet --out runs/entire --suite entire_space

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
ENTIRE_SPACE = ("click_only", "esmm", "escm2-ipw", "escm2-dr", "dcmt", "aem2tl")
DATA = """recipe = "mmoe"
[data]
schema = "schema.toml"
log = ["{log}"]
split = {{ by = "time", valid_from = 39, test_from = 41 }}
"""
SETTINGS = {
    "recipes": """[objective]
task_weights = { rebuy28 = 5.0 }
[training]
epochs = 2
evaluations = 2
patience = 1
table_decay = 1e-5
warmup = 100
threads = 1
""",
    # Every term weighs 1, as in the papers; widths at which two cores finish in an evening.
    "entire_space": """[model]
dim = 8
expert_widths = [64, 32]
[training]
epochs = 2
batch_size = 1024
evaluations = 2
patience = 2
metric = "log_loss"
warmup = 100
threads = 1
""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/journey"))
    parser.add_argument("--suite", choices=SETTINGS, default="recipes")
    parser.add_argument("--recipes", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    recipes = options.recipes or (ENTIRE_SPACE if options.suite == "entire_space" else RECIPES)
    options.out.mkdir(parents=True, exist_ok=True)
    schema = complete_journey.schema()
    schema = replace(schema, keys=replace(schema.keys, time="week"))
    (options.out / "schema.toml").write_text(schema.to_toml(), encoding="utf-8")
    settings = SETTINGS[options.suite].replace("epochs = 2", f"epochs = {options.epochs}")
    (options.out / "run.toml").write_text(DATA.format(log=options.log.resolve()) + settings, encoding="utf-8")
    runs = [(recipe, seed) for seed in range(options.seeds) for recipe in recipes]
    with ThreadPoolExecutor(options.at_once) as pool:
        list(pool.map(lambda one: fit(options.out, *one), runs))
    show = spaces if options.suite == "entire_space" else table
    sys.stdout.write(show(options.out, recipes, options.seeds) + "\n")


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


def spaces(folder: Path, recipes: Sequence[str], seeds: int) -> str:
    """Rank and calibration of the conversion in click space and over all impressions."""
    columns = [(Target("buy"), "auc", 4)]
    for target in (Target("rebuy28"), Target("rebuy28", "buy")):
        columns += [(target, "auc", 4), (target, "log_loss", 5 if target.space == "all" else 4), (target, "pcoc", 3)]
    header = ["recipe", *(f"{target.name}, {metric}" for target, metric, _ in columns)]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for recipe in recipes:
        shown = []
        reports = [json.loads((folder / f"{recipe}-{s}" / "report.json").read_text()) for s in range(seeds)]
        for target, metric, digits in columns:
            wanted = ("*", target.task, target.space, metric)
            values = [
                cell["value"]
                for report in reports
                for cell in report["cells"]
                if (cell["scenario"], cell["task"], cell["space"], cell["metric"]) == wanted
            ]
            shown.append(f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}")
        lines.append(f"| `{recipe}` | {' | '.join(shown)} |")
    return "\n".join(lines)


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
