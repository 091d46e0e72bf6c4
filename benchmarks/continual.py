"""Daily continual training against retraining from scratch on all rows so far, on the drifting world.

    python benchmarks/continual.py --out runs/continual --rows 140000 --seeds 0 1 2

Both start from a fit on the first days. Each later day is judged before anybody has trained on it: by the model that
`polyrec update` carried there, by a fresh fit on all days before, and by the first fit left as it was. AUC is over all
rows of a day, a mean of three tasks over all impressions; seconds are the processor's over the whole call, judging and
writing included. On the first day after the first fit all three are one model, so it is left out. Days are learned from
whatever the guards say: users' histories grow from day to day, which is a shift. A finished day of a seed is not run
again.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import polars as pl
import torch

from polyrec.artifact import Bundle
from polyrec.config import DataConfig, RunConfig
from polyrec.data.files import Source
from polyrec.data.simulate import simulate
from polyrec.evaluation.evaluate import evaluate
from polyrec.evaluation.report import Report
from polyrec.recipes.continual.course import Options
from polyrec.recipes.continual.update import update
from polyrec.recipes.fit import fit
from polyrec.training.events import read

DAY = 86_400_000
TASKS = ("click", "action", "buy")
MODEL = {"dim": 8, "expert_widths": [64, 32], "tower_widths": [16]}
TRAINING = {"batch_size": 512, "epochs": 6, "patience": 2, "evaluations": 1, "table_lr": 0.03, "threads": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=140_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--first", type=int, default=4, help="days of the first fit")
    parser.add_argument("--every", type=int, default=1, help="retrain on every so manieth day alone: it costs the most")
    parser.add_argument("--replay", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=1, help="of the update, a day")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [line for seed in options.seeds for line in one_seed(options, seed)]
    print(told(found))


def one_seed(options: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """A line a day: AUC, seconds and rows of each way."""
    folder = options.out / f"seed-{seed}"
    days = split_days(folder, options, seed)
    begin = fitted(folder, days[: options.first], seed)
    lines = []
    name = f"update-{options.epochs}-{options.replay}"
    for place in range(options.first, len(days)):
        kept = folder / f"day-{place}-{options.epochs}-{options.replay}.json"
        if not kept.exists():
            due = place > options.first and (place - options.first) % options.every == 0
            retrained = fitted(folder, days[:place], seed) if due else None
            again = auc(retrained["folder"], days[place]) if retrained else None
            first = auc(begin["folder"], days[place])
            started = time.process_time()
            settings = Options(epochs=options.epochs, replay=options.replay, keep=2, force=True)
            done = update(begin["folder"], [str(days[place])], folder / name, options=settings)
            seconds = time.process_time() - started
            told = read(done.history)[-1]
            line = {
                "seed": seed, "day": place, "first": first, "retrained": again, "continual": from_cells(told["cells"]),
                "seconds": {"retrained": retrained and retrained["seconds"], "continual": seconds, **told["seconds"]},
                "rows": {"retrained": retrained and retrained["rows"], "continual": told["trained"]},
            }  # fmt: skip
            kept.write_text(json.dumps(line))
        lines.append(json.loads(kept.read_text()))
    return lines


def split_days(folder: Path, options: argparse.Namespace, seed: int) -> list[Path]:
    """A file a day."""
    if not (folder / "world").exists():
        simulate(folder / "world", rows=options.rows, days=options.days, seed=seed, preset="drift")
    rows = pl.read_parquet(folder / "world" / "log.parquet")
    day = (pl.col("time_ms") - rows["time_ms"].min()) // DAY
    found = []
    for place in range(options.days):
        path = folder / f"day-{place:02d}.parquet"
        if not path.exists():
            rows.filter(day == place).write_parquet(path)
        found.append(path)
    return found


def fitted(folder: Path, days: list[Path], seed: int) -> dict[str, Any]:
    """A fit on these days, one row in twenty of which decides when to stop."""
    place = folder / f"fit-{len(days):02d}"
    facts = place / "seconds.json"
    if not facts.exists():
        rows = pl.concat([pl.read_parquet(one) for one in days]).with_row_index("row")
        parts = {"train": pl.col("row") % 20 != 7, "valid": pl.col("row") % 20 == 7}
        for name, which in parts.items():
            rows.filter(which).drop("row").write_parquet(folder / f"{name}-{len(days):02d}.parquet")
        paths = {name: (str(folder / f"{name}-{len(days):02d}.parquet"),) for name in parts}
        data = DataConfig(str(folder / "world" / "schema.toml"), **paths)
        started = time.process_time()
        done = fit(RunConfig("mmoe", data, model=MODEL, training={**TRAINING, "seed": seed}), place)
        seconds = time.process_time() - started
        report = Report.load(done.report)
        steps, size = report.run["steps"], TRAINING["batch_size"]
        facts.write_text(json.dumps({"seconds": seconds, "rows": steps * int(str(size))}))
    return {"folder": place, **json.loads(facts.read_text())}


def auc(folder: Path, day: Path) -> float:
    """Mean over tasks of the AUC over all rows of a day; values and scenarios never seen are scored as unknown."""
    report = evaluate(Bundle.load(folder / "bundle"), Source((day,)))
    return from_cells([{"scenario": row.scenario, "task": row.task, "space": row.space, "metric": row.metric,
                        "value": row.value} for row in report.rows])  # fmt: skip


def from_cells(cells: list[dict[str, Any]]) -> float:
    """The mean over tasks of the pooled AUC over all impressions."""
    found = {
        row["task"]: row["value"]
        for row in cells
        if (row["scenario"], row["space"], row["metric"]) == ("*", "all", "auc")
    }
    return mean(found[task] for task in TASKS)


def told(lines: list[dict[str, Any]]) -> str:
    """Tables of AUC by day and of the gap and cost by seed."""
    lines = [one for one in lines if one["retrained"] is not None]
    seeds, days = sorted({one["seed"] for one in lines}), sorted({one["day"] for one in lines})
    text = ["| day | first fit | retrained | continual | continual - retrained |", "|---|---|---|---|---|"]
    for day in days:
        mine = [one for one in lines if one["day"] == day]
        means = [mean(one[way] for one in mine) for way in ("first", "retrained", "continual")]
        text.append(f"| {day} | " + " | ".join(f"{one:.4f}" for one in means) + f" | {means[2] - means[1]:+.4f} |")
    text += [
        "",
        "| seed | gap | seconds retrained | seconds continual | ratio | rows ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    gaps, ratios = [], []
    for seed in seeds:
        mine = [one for one in lines if one["seed"] == seed]
        gap = mean(one["continual"] - one["retrained"] for one in mine)
        total = {way: sum(one["seconds"][way] for one in mine) for way in ("retrained", "continual")}
        rows = {way: sum(one["rows"][way] for one in mine) for way in ("retrained", "continual")}
        gaps.append(gap)
        ratios.append(total["continual"] / total["retrained"])
        text.append(
            f"| {seed} | {gap:+.4f} | {total['retrained']:.0f} | {total['continual']:.0f} | {ratios[-1]:.2f} | "
            f"{rows['continual'] / rows['retrained']:.3f} |"
        )
    spread = stdev(gaps) if len(gaps) > 1 else 0.0
    text.append(f"\ngap {mean(gaps):+.4f} ± {spread:.4f} over {len(gaps)} seeds; cost ratio {mean(ratios):.2f}")
    return "\n".join(text)


if __name__ == "__main__":
    main()
