"""How fast rows go through: encoding, training, evaluation, and the peak memory of a file repeated.

    .venv/bin/python benchmarks/rows_per_second.py impressions.parquet --threads 2
    .venv/bin/python benchmarks/rows_per_second.py impressions.parquet --memory
    .venv/bin/python benchmarks/rows_per_second.py impressions.parquet --against aem2tl

Speeds are of one machine on one day: compare them only within a run.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from polyrec.batch import Batch
from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.loader import Loader
from polyrec.data.sources import complete_journey
from polyrec.evaluation import collect
from polyrec.evaluation.memory import peak_memory
from polyrec.evaluation.report import Report
from polyrec.recipes.assemble import assemble
from polyrec.recipes.fit import fit
from polyrec.recipes.prepare import Prepared, prepare
from polyrec.training import Evaluation, Stage, train

RECIPE, BATCH = "mmoe", 4096
NO_DATA = DataConfig(schema="-", log=("-",))  # for parts that are built on rows prepared already


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--against", nargs="+", default=[], help="recipes, each as a ratio to mmoe's rows/s")
    parser.add_argument("--times", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.times:
        fitted(options.log, options.times, options.threads)
        say(str(peak_memory()))
    elif options.against:
        ratios(options.log, options.against, options.threads, options.repeats)
    elif options.memory:
        memory(options.log, options.threads)
    else:
        speeds(options.log, options.threads, options.repeats)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def data(folder: Path, log: Path, times: int = 1) -> DataConfig:
    """The file so many times, split by time."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = complete_journey.schema()
    path = folder / "schema.toml"
    path.write_text(replace(schema, keys=replace(schema.keys, time="week")).to_toml(), encoding="utf-8")
    links = []
    for place in range(times):
        link = folder / f"copy-{place}.parquet"
        link.unlink(missing_ok=True)
        link.symlink_to(log.resolve())
        links.append(str(link))
    return DataConfig(schema=str(path), log=tuple(links), split=Split(by="time", valid_from=39, test_from=41))


def prepared(log: Path) -> Prepared:
    return prepare(data(Path("runs/speed"), log))


def loader(rows: Prepared, seed: int = 0) -> Loader:
    return Loader(rows.splits.train, rows.encoder, batch_size=BATCH, shuffle_rows=262_144, seed=seed)


def trained(rows: Prepared, threads: int, recipe: str = RECIPE) -> float:
    """Rows per second of one epoch from parquet to weights."""
    run = RunConfig(recipe, NO_DATA, training={"epochs": 1, "threads": threads})
    parts = assemble(run, rows.encoder.layout)
    history = train(
        Stage("train", parts.training),
        parts.model,
        parts.objective,
        parts.balancer,
        loader(rows),
        lambda: Evaluation(None, {}),
    )
    return history.rows / history.seconds


def fitted(log: Path, times: int, threads: int) -> None:
    """The whole of `polyrec fit`, on a network so small that an epoch is soon over."""
    with TemporaryDirectory() as folder:
        run = RunConfig(
            "pooled",
            data(Path(folder) / "data", log, times),
            model={"widths": (32,), "tower_widths": ()},
            training={"epochs": 1, "evaluations": 1, "threads": threads},
        )
        fit(run, Path(folder) / "run")


def counted(batches: Iterable[Batch]) -> float:
    started, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch)
    return count / (time.perf_counter() - started)


def speeds(log: Path, threads: int, repeats: int) -> None:
    rows = prepared(log)
    encoding = [counted(batch for _, batch in loader(rows, seed).epoch(0)) for seed in range(repeats)]
    say(f"encoding, parquet to shuffled batches: {middle(encoding):,.0f} rows/s")
    training = middle([trained(rows, threads) for _ in range(repeats)])
    say(f"training {RECIPE}, parquet to weights:  {training:,.0f} rows/s")
    parts = assemble(RunConfig(RECIPE, NO_DATA), rows.encoder.layout)
    whole = []
    test = rows.splits.test
    assert test is not None
    for _ in range(repeats):
        started = time.perf_counter()
        order = Loader(test, rows.encoder, batch_size=2_048, shuffle_rows=131_072).ordered()
        found = collect.run(lambda batch: parts.objective.predict(parts.model(batch)), order, model=parts.model)
        scored = time.perf_counter()
        Report.build(found, recipe=RECIPE, split="test")
        whole.append((len(found) / (scored - started), len(found) / (time.perf_counter() - started)))
    say(f"evaluation, parquet to logits:         {middle([one for one, _ in whole]):,.0f} rows/s")
    say(f"evaluation, with report and intervals: {middle([one for _, one in whole]):,.0f} rows/s")


def ratios(log: Path, recipes: list[str], threads: int, repeats: int) -> None:
    """Recipes with their default options in turn, so that each meets the same machine."""
    rows = prepared(log)
    found: dict[str, list[float]] = {recipe: [] for recipe in (RECIPE, *recipes)}
    for _ in range(repeats):
        for recipe, many in found.items():
            many.append(trained(rows, threads, recipe))
    for recipe, many in found.items():
        times = [one / other for one, other in zip(many, found[RECIPE], strict=True)]
        say(f"{recipe}: {middle(many):,.0f} rows/s, {middle(times):.2f} times {RECIPE}'s")


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def memory(log: Path, threads: int) -> None:
    peaks = []
    for times in (1, 10):
        command = [sys.executable, __file__, str(log), "--times", str(times), "--threads", str(threads)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        say(f"peak memory of `fit` on the file x {times}: {peaks[-1]} MB")
    say(f"ratio: {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
