"""The table of docs/results/hotel_bookings.md: recipes on hotel x market segment, several seeds, one protocol.

    .venv/bin/python benchmarks/hotel_bookings.py bookings.parquet --out runs/hotel
    polyrec compare runs/hotel/*-0 runs/hotel/*-1 runs/hotel/*-2 --baseline runs/hotel/pooled-0

Bookings made before August 2016 train, those of August and September validate, later ones test. Columns that the
outcome sets or corrects (deposit type, country) are left out. A finished run is not run again.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import polars as pl

from polyrec.schema import Feature, Keys, Schema, Task

RECIPES = (
    "pooled",
    "single",
    "shared_bottom",
    "mmoe",
    "ple",
    "star",
    "pepnet",
    "autoifs",
    "autoifs-noselect",
    "autoifs-randomgates",
)
CATEGORIES = ("distribution_channel", "customer_type", "meal", "reserved_room_type", "agent", "company")
NUMBERS = (
    "lead_time",
    "arrival_date_week_number",
    "stays_in_weekend_nights",
    "stays_in_week_nights",
    "adults",
    "children",
    "babies",
    "is_repeated_guest",
    "previous_cancellations",
    "previous_bookings_not_canceled",
    "adr",
)
LEAST = 100  # rows of a scenario
RUN = """recipe = "pooled"
[data]
schema = "schema.toml"
log = ["bookings.parquet"]
split = { by = "time", valid_from = 2016-08-01, test_from = 2016-10-01 }
[model]
dim = 8
[training]
epochs = 8
batch_size = 512
evaluations = 1
patience = 2
threads = 1
metric = "log_loss"
mask_ids = 0.05
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/hotel"))
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.log, options.out)
    runs = [(recipe, seed) for seed in range(options.seeds) for recipe in options.recipes]
    with ThreadPoolExecutor(options.at_once) as pool:
        list(pool.map(lambda one: fit(options.out, *one), runs))
    sys.stdout.write(table(options.out, options.recipes, options.seeds) + "\n")


def write(log: Path, folder: Path) -> None:
    """The log with its 13 scenarios, its schema and its run file."""
    rows = pl.read_parquet(log).with_columns(place=pl.col("hotel").str.head(4) + "/" + pl.col("market_segment"))
    rows = rows.filter(pl.len().over("place") >= LEAST)
    rows.select("booking_date", "place", *CATEGORIES, *NUMBERS, "kept", "parking").write_parquet(
        folder / "bookings.parquet"
    )
    side = {"agent": 3, "company": 3}
    features = [Feature(name, "categorical", min_count=side.get(name, 1)) for name in CATEGORIES]
    features += [Feature(name, "numeric", transform="quantile") for name in NUMBERS]
    tasks = (Task("kept", "kept"), Task("parking", "parking", after="kept"))
    schema = Schema(Keys("place", time="booking_date"), tuple(features), tasks, unknown_scenario="shared")
    (folder / "schema.toml").write_text(schema.to_toml(), encoding="utf-8")
    (folder / "run.toml").write_text(RUN, encoding="utf-8")


def fit(folder: Path, recipe: str, seed: int) -> None:
    out = folder / f"{recipe}-{seed}"
    if (out / "report.json").exists():
        return
    command = [sys.executable, "-m", "polyrec", "fit", folder / "run.toml", "--out", out, "--resume"]
    command += ["--set", f"recipe={recipe}", "--seed", str(seed)]
    subprocess.run([str(one) for one in command], check=True, stdout=subprocess.DEVNULL)


def table(folder: Path, recipes: Sequence[str], seeds: int) -> str:
    columns = [("*", "kept", "all"), ("macro", "kept", "all"), ("*", "parking", "kept"), ("macro", "parking", "kept")]
    header = ["recipe", "kept, pooled", "mean", "parking given kept, pooled", "mean", "log-loss of kept", "weights"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for recipe in recipes:
        found = [read(folder / f"{recipe}-{seed}") for seed in range(seeds)]
        cells = [[one[*key, "auc"] for one in found] for key in columns]
        cells.append([one["*", "kept", "all", "log_loss"] for one in found])
        shown = [f"{mean(one):.4f} ± {stdev(one):.4f}" if len(one) > 1 else f"{one[0]:.4f}" for one in cells]
        lines.append(f"| `{recipe}` | {' | '.join(shown)} | {found[0]['parameters']:,} |")
    return "\n".join(lines)


def read(out: Path) -> dict[Any, Any]:
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    found: dict[Any, Any] = {"parameters": report["run"]["parameters"]}
    for cell in report["cells"]:
        found[cell["scenario"], cell["task"], cell["space"], cell["metric"]] = cell["value"]
    return found


if __name__ == "__main__":
    main()
