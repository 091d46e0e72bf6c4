"""ECAT on groceries: one promotion position, thinned to 2 % of its rows, as the target; judged week by week.

    python benchmarks/transfer_journey.py impressions_3m.parquet --out runs/groceries --others 0.1

Train weeks up to 38, validate on 39 and 40, test on 41 to 48. Of the target's rows to train and to validate one in
fifty is left, drawn anew for each seed, of the other scenarios' a share too; the target's test rows are all there.
Every recipe has the same sizes and rows; the teacher of `finetuned` is the bundle of `pooled`, that of `ecat` its own,
which was not shown a quarter of the target's users. Told over the seeds: AUC and log-loss over all impressions, each
recipe less `pooled` on the same draw, and `buy` by week. A finished run is not run again.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import polars as pl

from polyrec.config import DataConfig, RunConfig
from polyrec.data.sources import complete_journey
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.validation import validation
from polyrec.recipes import get
from polyrec.recipes.fit import fit
from polyrec.recipes.prepare import Prepared, prepare
from polyrec.schema import Cell

TARGET = "mailer_front"
RECIPES = ("pooled", "target_only", "finetuned", "ecat")
TASKS = ("buy", "rebuy28")
MODEL = {"dim": 8, "widths": [64, 32], "tower_widths": [16]}
ALL = {"table_decay": 1e-5, "threads": 1}
TEACHER = {"epochs": 6, "patience": 1, "batch_size": 1024, "evaluations": 1, "metric": "log_loss", "warmup": 100}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.02, help="of the target's rows to train and to validate")
    parser.add_argument("--others", type=float, default=1.0, help="of the other scenarios'")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(RECIPES))
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in options.only}
    for seed in options.seeds:
        folder = options.out / f"draw-{seed}"
        data = drawn(options.log, folder, options.share, options.others, seed)
        prepared = prepare(data)
        for name in options.only:
            found[name].append(one(name, data, prepared, folder, seed))
            print(seed, name, found[name][-1]["whole"], flush=True)
    print("\n\n".join((table(found), weekly(found))))


def drawn(log: Path, folder: Path, share: float, others: float, seed: int) -> DataConfig:
    """The three parts of one draw as files."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = complete_journey.schema()
    schema = replace(schema, keys=replace(schema.keys, time="week"))
    (folder / "schema.toml").write_text(schema.to_toml(), encoding="utf-8")
    parts = {"train": pl.col("week") <= 38, "valid": pl.col("week").is_between(39, 40), "test": pl.col("week") >= 41}
    paths = {name: folder / f"{name}.parquet" for name in parts}
    if not paths["test"].exists():
        rows = pl.read_parquet(log)
        chance = pl.Series(np.random.default_rng(seed).random(len(rows)))
        mine = pl.col("scenario") == TARGET
        kept = pl.when(mine).then(pl.lit(chance) < share).otherwise(pl.lit(chance) < others)
        for name, part in parts.items():
            rows.filter(part & (mine if name == "test" else kept)).write_parquet(paths[name])
    return DataConfig(str(folder / "schema.toml"), **{name: (str(path),) for name, path in paths.items()})


def one(name: str, data: DataConfig, prepared: Prepared, folder: Path, seed: int) -> dict[str, Any]:
    out = folder / name
    result = out / "groceries.json"
    if result.exists():
        known: dict[str, Any] = json.loads(result.read_text())
        return known
    recipe = get(name)
    transfer: dict[str, Any] = {}
    if recipe.transfer_options is not None:
        transfer = {"target": TARGET, "period": 1}
        if name == "finetuned":
            transfer["teacher"] = str(folder / "pooled" / "bundle")
    own = {"teacher": TEACHER} if any(stage.name == "teacher" for stage in recipe.stages) else {}
    training = {**ALL, "seed": seed, **(TEACHER if name == "pooled" else {})}
    run = RunConfig(name, data, model=MODEL, training=training, stages=own, transfer=transfer)
    made = fit(run, out, prepared=prepared, resume=True)
    scored = Collected.load(made.predictions)
    facts = {"whole": judged(scored), "weeks": by_week(scored, folder / "test.parquet")}
    report = json.loads(made.report.read_text())
    if "transfer" in report:
        facts["transfer"] = report["transfer"]
    result.write_text(json.dumps(facts))
    return facts


def judged(scored: Collected) -> dict[str, dict[str, float]]:
    """AUC and log-loss of each task over all impressions of the target."""
    return {
        metric: {task: round(validation(scored, metric).cells[Cell(TARGET, task, "all")], 5) for task in TASKS}
        for metric in ("auc", "log_loss")
    }


def by_week(scored: Collected, path: Path) -> dict[str, dict[str, float]]:
    """AUC and log-loss of `buy` in each test week: weeks in place of scenarios."""
    week = pl.read_parquet(path, columns=["week"])["week"].to_numpy()
    names, place = np.unique(week, return_inverse=True)
    weeks = replace(scored, scenarios=tuple(map(str, names)), scenario=place.astype(np.int32))
    return {
        metric: {str(name): round(validation(weeks, metric).cells[Cell(str(name), "buy", "all")], 5) for name in names}
        for metric in ("auc", "log_loss")
    }


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    heads = [f"{task}, {metric}" for metric in ("auc", "log_loss") for task in TASKS]
    heads += [f"{head} less `pooled`" for head in heads] if "pooled" in found else []
    lines = [f"| recipe | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, runs in found.items():
        values = [[run["whole"][metric][task] for run in runs] for metric in ("auc", "log_loss") for task in TASKS]
        if "pooled" in found:
            base = [[run["whole"][metric][task] for run in found["pooled"]]
                    for metric in ("auc", "log_loss") for task in TASKS]  # fmt: skip
            values += [[a - b for a, b in zip(mine, other, strict=True)]
                       for mine, other in zip(list(values), base, strict=True)]  # fmt: skip
        lines.append(f"| `{name}` | {' | '.join(spread(one) for one in values)} |")
    return "\n".join(lines)


def weekly(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    names = list(found)
    lines = [f"| week | {' | '.join(f'`{name}`: AUC, log-loss' for name in names)} |", "|---" * (len(names) + 1) + "|"]
    for week in found[names[0]][0]["weeks"]["auc"]:
        cells = [", ".join(f"{mean(run['weeks'][metric][week] for run in found[name]):.4f}"
                           for metric in ("auc", "log_loss")) for name in names]  # fmt: skip
        lines.append(f"| {week} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
