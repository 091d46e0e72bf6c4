"""Recall per scenario of the retrieval recipes on the planted world `starved`, against the log and against the truth.

    .venv/bin/python benchmarks/retrieval_starved.py --out runs/starved --seeds 0 1 2
    .venv/bin/python benchmarks/retrieval_starved.py --out runs/starved --table

Every finished run is one line of OUT/results.jsonl: a run that is there already is not made again. Seed k is of the
world, its rows and the weights. `log`: recall@50 of the test rows' clicks over the scenario's pool. `truth`: of the 50
items in the pool that are truly best for each user of the test rows (highest probability of a click on the last day),
the share among the 50 retrieved. References without a model: `popularity`, clicks in the scenario's training rows;
`true-utility`, the logit behind the clicks; `true-utility-shown`, that plus the log of how often the scenario showed
the item, which is about the most that the log's recall allows.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from polyrec.artifact import Bundle
from polyrec.batch import Batch
from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.held import one_each
from polyrec.data.simulate import simulate, world_of
from polyrec.evaluation.report import Report
from polyrec.recipes.fit import fit
from polyrec.recipes.prepare import Prepared, prepare
from polyrec.recipes.rows import Rows
from polyrec.retrieval import Exact
from polyrec.retrieval.trial import embed
from polyrec.schema import Target

RECIPES = (
    "twotower-single",
    "twotower-mixed",
    "twotower-feature",
    "twotower-finetune",
    "sass-base",
    "sass",
    "sass-no-adaptive-gate",
    "sass-no-update-gate",
    "sass-top-gate",
    "sass-user-side",
    "sass-labelled-only",
)
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
    planted = Planted(folder, data, prepared, seed)
    for recipe in options.recipes:
        name = recipe + options.name
        if known(options.out, name, seed):
            continue
        run = configured(recipe, data, seed, options.set)
        done = fit(run, options.out / f"{name}-{seed}", prepared=prepared, log=say)
        report = Report.load(done.report)
        line = {
            "recipe": name,
            "seed": seed,
            "log": {
                one: report.get(one, Target("click"), f"recall@{DEPTH}").value for one in prepared.schema.scenarios
            },
            "truth": planted.found(Bundle.load(done.bundle).model),
            "seconds": report.run["seconds"],
            "rows_per_second": report.run["rows_per_second"],
        }
        write(options.out, line)
    for name, scores in planted.references().items():
        if not known(options.out, name, seed):
            write(options.out, {"recipe": name, "seed": seed, **planted.judged(scores)})


def known(out: Path, name: str, seed: int) -> bool:
    return any((one["recipe"], one["seed"]) == (name, seed) for one in results(out))


def write(out: Path, line: dict[str, Any]) -> None:
    with (out / "results.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    say(json.dumps(line))


def configured(recipe: str, data: DataConfig, seed: int, settings: Sequence[str]) -> RunConfig:
    from polyrec.config import read_setting, set_option

    values: dict[str, Any] = {"model": dict(MODEL), "training": {**TRAINING, "seed": seed}, "stages": {}}
    for one in settings:
        key, value = read_setting(one)
        set_option(values, key, value)
    return RunConfig(recipe, data, **values)


Scores = Callable[[int, Batch, Batch], torch.Tensor]  # scenario, users, items -> [users, items]


class Planted:
    """What is truly best for every user of the test rows, and what could be had without a model."""

    def __init__(self, folder: Path, data: DataConfig, prepared: Prepared, seed: int) -> None:
        rows = Rows(configured("twotower-mixed", data, seed, ()), prepared)
        splits = prepared.splits
        self.rows, self.splits, self.world = rows, splits, world_of(folder)
        self.trial = rows.trial(splits.test, splits.train, splits.valid)
        comes = one_each(rows.batches(splits.test), "user", keep="first")
        self.users = [comes.select(torch.nonzero(comes.scenario == s)[:, 0]) for s in range(len(self.trial.scenarios))]
        self.weights = self.world.weights(self.world.days - 1)[:, 0]  # [S, 18]: of pairs, of items, of users
        self.best = self.top(self.utility, self.users)

    def found(self, model: nn.Module) -> dict[str, float | None]:
        """Of each user's truly best items, the share that a model retrieves."""
        places = []
        for users, question in zip(self.users, self.trial.questions.values(), strict=True):
            index = Exact(embed(model, "item", question.items))
            places.append(index.search(embed(model, "user", users), DEPTH).places.numpy())
        return self.shares(places)

    def judged(self, scores: Scores) -> dict[str, dict[str, float | None]]:
        """Recall in the log and against the truth of any scores."""
        places = self.top(scores, [one.users for one in self.trial.questions.values()])
        log: dict[str, float | None] = {}
        for (name, question), mine in zip(self.trial.questions.items(), places, strict=True):
            relevant = torch.split(question.relevant.values, question.relevant.lengths.tolist())
            each = [np.isin(one.numpy(), got).mean() for one, got in zip(relevant, mine, strict=True)]
            log[name] = float(np.mean(each)) if each else None
        return {"log": log, "truth": self.shares(self.top(scores, self.users))}

    def references(self) -> dict[str, Scores]:
        """Scores without a model."""
        clicks, shown = Counter[tuple[int, int]](), Counter[tuple[int, int]]()
        for batch in self.rows.batches(self.splits.train):
            positive = batch.observed[:, 0] & (batch.labels[:, 0] > 0.5)
            pairs = list(zip(batch.scenario.tolist(), batch.item.tolist(), strict=True))
            shown.update(pairs)
            clicks.update(pair for pair, one in zip(pairs, positive.tolist(), strict=True) if one)

        def popularity(scenario: int, users: Batch, items: Batch) -> torch.Tensor:
            counts = torch.tensor([float(clicks[scenario, item]) for item in items.item.tolist()])
            return counts.expand(len(users), -1)

        def utility_shown(scenario: int, users: Batch, items: Batch) -> torch.Tensor:
            counts = torch.tensor([1.0 + shown[scenario, item] for item in items.item.tolist()])
            return self.utility(scenario, users, items) + counts.log()

        return {"popularity": popularity, "true-utility": self.utility, "true-utility-shown": utility_shown}

    def utility(self, scenario: int, users: Batch, items: Batch) -> torch.Tensor:
        """The part of the true logit of a click that tells items apart."""
        pair, good = self.weights[scenario, :6], self.weights[scenario, 6:12]
        wanted = self.world.people.factors[users.user.numpy()] * pair + good
        return torch.from_numpy(wanted @ self.world.goods.factors[items.item.numpy()].T)

    def top(self, scores: Scores, users: Sequence[Batch]) -> list[np.ndarray]:
        """The DEPTH best items of each user, scenario by scenario."""
        found = []
        for place, (mine, question) in enumerate(zip(users, self.trial.questions.values(), strict=True)):
            table = scores(place, mine, question.items)
            found.append(table.topk(min(DEPTH, table.shape[1]), 1).indices.numpy())
        return found

    def shares(self, places: Sequence[np.ndarray]) -> dict[str, float | None]:
        return {
            name: float(np.mean([np.isin(a, b).mean() for a, b in zip(best, mine, strict=True)])) if len(best) else None
            for name, best, mine in zip(self.trial.scenarios, self.best, places, strict=True)
        }


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
