"""Recall per scenario of the retrieval recipes on the planted world `starved`, against the log and against the truth.

    .venv/bin/python benchmarks/retrieval_starved.py --out runs/starved --seeds 0 1 2
    .venv/bin/python benchmarks/retrieval_starved.py --out runs/starved --table

Every finished run is one line of OUT/results.jsonl: a run that is there already is not made again. Seed k is of the
world, its rows and the weights. `log`: recall@50 of the test rows' clicks over the scenario's pool. `truth`: of each
such user's 50 truly best items in the pool (highest probability of a click on the last day), the share among the 50
retrieved.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.simulate import simulate, world_of
from polyrec.evaluation.report import Report
from polyrec.recipes.fit import fit
from polyrec.recipes.prepare import Prepared, prepare
from polyrec.recipes.rows import Rows
from polyrec.retrieval import Exact
from polyrec.retrieval.trial import Question, Trial, embed
from polyrec.schema import Target

RECIPES = ("twotower-single", "twotower-mixed", "twotower-finetune", "sass-base", "sass")
TRAINING = {"threads": 1}
MODEL = {"widths": [128, 64], "vector": 32}
DEPTH = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--set", nargs="*", default=[], help="a.b=value for every run")
    parser.add_argument("--name", default="", help="what these settings are called in the results")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.table:
        torch.set_num_threads(1)
        for seed in options.seeds:
            run_all(options, seed)
    say(table(options.out))


def run_all(options: argparse.Namespace, seed: int) -> None:
    folder = options.out / f"world-{seed}"
    if not folder.exists():
        simulate(folder, rows=options.rows, preset="starved", seed=seed)
    data = DataConfig(
        schema=str(folder / "schema.toml"),
        log=(str(folder / "log.parquet"),),
        split=Split(by="time", valid=0.1, test=0.25),
    )
    prepared = prepare(data)
    trial = None
    for recipe in options.recipes:
        name = recipe + options.name
        if (name, seed) in {(one["recipe"], one["seed"]) for one in results(options.out)}:
            continue
        run = configured(recipe, data, seed, options.set)
        done = fit(run, options.out / f"{name}-{seed}", prepared=prepared, log=say)
        report = Report.load(done.report)
        trial = trial or Rows(run, prepared).trial(prepared.splits.test, prepared.splits.train, prepared.splits.valid)
        line = {
            "recipe": name,
            "seed": seed,
            "log": {
                one: report.get(one, Target("click"), f"recall@{DEPTH}").value for one in prepared.schema.scenarios
            },
            "truth": against_truth(done.bundle, trial, world_of(folder), prepared),
            "seconds": report.run["seconds"],
            "rows_per_second": report.run["rows_per_second"],
        }
        with (options.out / "results.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        say(json.dumps(line))


def configured(recipe: str, data: DataConfig, seed: int, settings: Sequence[str]) -> RunConfig:
    from polyrec.config import _set, read_setting

    values: dict[str, Any] = {"model": dict(MODEL), "training": {**TRAINING, "seed": seed}, "stages": {}}
    for one in settings:
        key, value = read_setting(one)
        _set(values, key, value)
    return RunConfig(recipe, data, **values)


def against_truth(bundle: Path, trial: Trial, world: Any, prepared: Prepared) -> dict[str, float | None]:
    """Of each user's truly best items, the share that is retrieved."""
    from polyrec.artifact import Bundle

    model = Bundle.load(bundle).model
    weights = world.weights(world.days - 1)[:, 0]  # [S, 18]: of pairs, of items, of users
    found: dict[str, float | None] = {}
    for place, name in enumerate(prepared.schema.scenarios):
        question: Question = trial.questions[name]
        if not len(question.users):
            found[name] = None
            continue
        pair, good = weights[place, :6], weights[place, 6:12]
        users, items = question.users.user.numpy(), question.items.item.numpy()
        wanted = torch.from_numpy(world.people.factors[users] * pair + good).float()
        best = Exact(torch.from_numpy(world.goods.factors[items]).float()).search(wanted, DEPTH).places.numpy()
        hits = Exact(embed(model, "item", question.items)).search(embed(model, "user", question.users), DEPTH)
        both = [len(np.intersect1d(a, b)) for a, b in zip(best, hits.places.numpy(), strict=True)]
        found[name] = float(np.mean(both)) / DEPTH
    return found


def results(out: Path) -> list[dict[str, Any]]:
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(out: Path) -> str:
    """Mean and spread over seeds, recipe by scenario."""
    lines = []
    every = results(out)
    for what in ("log", "truth"):
        names = list(every[0][what]) if every else []
        lines += [
            "",
            f"{what}: recall@{DEPTH}, mean ± sd over seeds",
            "| recipe | seeds | " + " | ".join(names) + " | mean |",
        ]
        for recipe in dict.fromkeys(one["recipe"] for one in every):
            runs = [one for one in every if one["recipe"] == recipe]
            values = np.array(
                [[one[what][name] if one[what][name] is not None else np.nan for name in names] for one in runs]
            )
            values = np.column_stack([values, np.nanmean(values, 1)])
            cells = [f"{np.nanmean(column):.3f} ± {np.nanstd(column):.3f}" for column in values.T]
            lines.append(f"| {recipe} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
