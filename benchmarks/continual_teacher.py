"""ECAT day by day on the drifting world: a teacher that goes on with every day against one that stays as it was.

    python benchmarks/continual_teacher.py --out runs/teachers --rows 140000 --target s4 --seeds 0 1 2

One fit of `ecat-no-guard` on the first days, whose student goes on in three ways: taught by a teacher that learns from
each day too (what `polyrec update` does), taught by the fit's teacher, and not at all (the fit as it was). Each later
day is scored before anybody has learned from it, on the target's rows, against the true probabilities: AUC, and the
log-loss above the truth's own in thousandths of a nat, means of three tasks and of the days. On the first one all three
are one model, so it is left out. beta and alpha are 1 and .1. A finished day is not run again.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import polars as pl
import torch

from polyrec.artifact import Bundle
from polyrec.config import DataConfig, RunConfig
from polyrec.data.files import Source
from polyrec.data.loader import Loader
from polyrec.data.simulate import judge, simulate
from polyrec.recipes.continual import learn
from polyrec.recipes.continual.course import Course, Options
from polyrec.recipes.continual.state import State
from polyrec.recipes.continual.update import update
from polyrec.recipes.fit import fit
from polyrec.schema import ALL

DAY = 86_400_000
TRUTH = {"click": "p_click", "action": "p_action", "buy": "p_buy"}
MODEL = {"dim": 8, "widths": [64, 32], "tower_widths": [16]}
TEACHER = {"epochs": 6, "patience": 2, "batch_size": 512, "evaluations": 1, "table_lr": 0.03}
WAYS = ("refreshed", "frozen", "not at all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=140_000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--first", type=int, default=7, help="days of the fit, the last of which validates")
    parser.add_argument("--target", default="s4")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = [line for seed in options.seeds for line in one_seed(options, seed)]
    print("| | AUC | log-loss above the truth |\n|---|---|---|")
    for way in WAYS:
        print(f"| {way} | {told(lines, way, None, 'auc', 4)} | {told(lines, way, None, 'excess', 1)} |")
    for way in WAYS[1:]:
        print(f"| refreshed less {way} | {told(lines, WAYS[0], way, 'auc', 4)} | "
              f"{told(lines, WAYS[0], way, 'excess', 1)} |")  # fmt: skip


def told(lines: list[dict[str, Any]], way: str, less: str | None, what: str, digits: int) -> str:
    """The mean over days of each seed, and over seeds with their spread."""
    found = []
    for seed in sorted({one["seed"] for one in lines}):
        mine = [one for one in lines if one["seed"] == seed][1:]
        found.append(mean(one[way][what] - (one[less][what] if less else 0.0) for one in mine))
    return f"{mean(found):.{digits}f}" + (f" ± {stdev(found):.{digits}f}" if len(found) > 1 else "")


def one_seed(options: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    folder = options.out / f"seed-{seed}"
    days = split_days(folder, options, seed)
    run = fitted(folder, days[: options.first], options.target, seed)
    lines = []
    for place in range(options.first, options.days):
        kept = folder / f"day-{place}.json"
        if not kept.exists():
            line: dict[str, Any] = {"seed": seed, "day": place}
            for way, how in (("refreshed", as_it_is), ("frozen", frozen)):
                out = folder / way
                standing = out / "bundle" if out.exists() else run / "bundle"
                line[way] = judged(standing, days[place], options.target)
                with how():
                    update(
                        run if not out.exists() else out, [str(days[place])], out, options=Options(force=True, keep=2)
                    )
            line["not at all"] = judged(run / "bundle", days[place], options.target)
            kept.write_text(json.dumps(line))
            print(seed, place, {way: line[way]["auc"] for way in WAYS}, flush=True)
        lines.append(json.loads(kept.read_text()))
    return lines


def split_days(folder: Path, options: argparse.Namespace, seed: int) -> list[Path]:
    """A file a day, with the true probabilities in columns that no schema names."""
    if not (folder / "world").exists():
        simulate(folder / "world", rows=options.rows, days=options.days, seed=seed, preset="drift")
    truth = pl.read_parquet(folder / "world" / "truth.parquet", columns=list(TRUTH.values()))
    rows = pl.read_parquet(folder / "world" / "log.parquet").hstack(truth)
    day = (pl.col("time_ms") - rows["time_ms"].min()) // DAY
    found = []
    for place in range(options.days):
        path = folder / f"day-{place:02d}.parquet"
        if not path.exists():
            rows.filter(day == place).write_parquet(path)
        found.append(path)
    return found


def fitted(folder: Path, days: list[Path], target: str, seed: int) -> Path:
    paths = {"train": tuple(map(str, days[:-1])), "valid": (str(days[-1]),)}
    data = DataConfig(str(folder / "world" / "schema.toml"), **paths)
    run = RunConfig("ecat-no-guard", data, model=MODEL, training={"seed": seed, "threads": 1},
                    stages={"teacher": TEACHER}, transfer={"target": target, "beta": 1.0, "alpha": 0.1})  # fmt: skip
    return fit(run, folder / "fit", resume=True).path


@contextmanager
def as_it_is() -> Iterator[None]:
    yield


@contextmanager
def frozen() -> Iterator[None]:
    """The teacher is one of a fixed past, as `ecat-static-teacher`'s is: asked, and not trained."""
    real: Callable[..., Any] = learn.taught

    def taught(state: State, rows: Source, course: Course) -> tuple[State, int]:
        assert state.teacher is not None
        parts = state.teacher.assembly
        still = replace(state.teacher, assembly=replace(parts, stage=replace(parts.stage, data="past")))
        found, read = real(replace(state, teacher=still), rows, course)
        return replace(found, teacher=state.teacher), read

    learn.taught = taught
    try:
        yield
    finally:
        learn.taught = real


@torch.inference_mode()
def judged(folder: Path, day: Path, target: str) -> dict[str, float]:
    """AUC and log-loss above the truth's own on the target's rows of a day, mean of three tasks."""
    bundle = Bundle.load(folder)
    rows = pl.read_parquet(day)
    mine = np.flatnonzero((rows[bundle.schema.keys.scenario] == target).to_numpy())
    logits: dict[str, list[np.ndarray]] = {task: [] for task in TRUTH}
    for batch in Loader(Source((day,)), bundle.encoder, batch_size=8_192, prefetch=0).ordered():
        for one, logit in bundle.logits(batch).items():
            if one.space == ALL:
                logits[one.task].append(logit.double().numpy())
    found = [
        judge(1 / (1 + np.exp(-np.concatenate(logits[task])[mine])), rows[column].to_numpy()[mine])
        for task, column in TRUTH.items()
    ]
    return {"auc": mean(one.auc for one in found), "excess": mean(1000 * (one.log_loss - one.least) for one in found)}


if __name__ == "__main__":
    main()
