"""Complete Journey as retrieval: which item types will a household buy in a scenario, of all that it promotes?

    .venv/bin/python benchmarks/retrieval_journey.py impressions.parquet --out runs/journey --seeds 0 1 2

Train weeks up to 38, validate on 39 and 40, test on 41 to 48. Positives are buys; exposures without one are views of
household and item for pre-training and no more. Nothing is excluded: households buy the same again. Against popularity
in the scenario, and item-kNN: the sum of cosines between an item and the household's items, over households' buys.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.held import keys
from polyrec.data.sources import complete_journey
from polyrec.evaluation.report import Report
from polyrec.recipes.fit import fit
from polyrec.recipes.prepare import prepare
from polyrec.recipes.rows import Rows
from polyrec.retrieval import Hits
from polyrec.retrieval.trial import Judged, Question, macro
from polyrec.schema import Feature, Target

RECIPES = ("twotower-mixed", "twotower-single", "sass-base", "sass")
METRICS = ("recall@20", "recall@50", "ndcg@50", "coverage@50")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    schema = complete_journey.schema(("buy",))
    household = Feature("household_id", "categorical", "user", min_count=5)
    # What a row says of household and type together, or of how the type was shown, is no one side's: left out.
    both = ("prev_buys", "days_since_last_buy", "n_promoted_products", "display", "display_endcap")
    features = (household, *(one for one in schema.features if one.name not in both))
    schema = replace(schema, features=features, keys=replace(schema.keys, time="week"))
    (options.out / "schema.toml").write_text(schema.to_toml())
    data = DataConfig(
        schema=str(options.out / "schema.toml"),
        log=(str(options.log.resolve()),),
        split=Split(by="time", valid_from=39, test_from=41),
    )
    prepared = prepare(data)
    rows = Rows(RunConfig("twotower-mixed", data), prepared)
    trial = rows.trial(prepared.splits.test, prepared.splits.train, prepared.splits.valid)
    for name, search in baselines(rows).items():
        tell(name, 0, trial.judge(search))
    for seed in options.seeds:
        for recipe in options.recipes:
            training = {"seed": seed, "threads": 1, "epochs": 6, "evaluations": 2, "patience": 3}
            run = RunConfig(recipe, data, model={"widths": [128, 64], "vector": 32}, training=training)
            done = fit(run, options.out / f"{recipe}-{seed}", prepared=prepared, resume=True)
            report = Report.load(done.report)
            names = (*prepared.schema.scenarios, "macro")
            say(
                json.dumps(
                    {"recipe": recipe, "seed": seed}
                    | {
                        metric: {one: round(report.get(one, Target("buy"), metric).value or 0.0, 4) for one in names}
                        for metric in METRICS
                    }
                )
            )


def baselines(rows: Rows) -> dict:
    """Popularity in the scenario, and item-kNN, from the buys of training rows."""
    bought = rows._positives
    users, user = np.unique(bought.user.numpy(), return_inverse=True)
    items, item = np.unique(keys(bought, "item").numpy(), return_inverse=True)
    matrix = sparse.csr_matrix((np.ones(len(user)), (user, item)), shape=(len(users), len(items)))
    matrix.data[:] = 1.0
    norm = np.sqrt(np.maximum(np.asarray(matrix.sum(0)).ravel(), 1.0))
    scaled = matrix @ sparse.diags(1.0 / norm)
    near = (scaled.T @ scaled).toarray()
    counts = {}
    for place in range(len(bought.layout.scenarios)):
        inside = (bought.scenario == place).numpy()
        counts[place] = np.bincount(item[inside], minlength=len(items))

    def column(question: Question) -> tuple[np.ndarray, np.ndarray]:
        names = question.items.item.numpy()
        at = np.clip(np.searchsorted(items, names), 0, len(items) - 1)
        return at, items[at] == names

    def popularity(question: Question) -> Hits:
        at, known = column(question)
        score = np.where(known, counts[int(question.items.scenario[0])][at], -1)
        order = np.argsort(-score, kind="stable")[:100]
        places = np.tile(order, (len(question.users), 1))
        return Hits(torch.from_numpy(places), torch.zeros(places.shape))

    def item_knn(question: Question) -> Hits:
        at, known = column(question)
        row = np.clip(np.searchsorted(users, question.users.user.numpy()), 0, len(users) - 1)
        there = users[row] == question.users.user.numpy()
        score = (matrix[row] @ near)[:, at] * there[:, None]
        score = np.where(known, score + 1e-6 * counts[int(question.items.scenario[0])][at], -1)
        places = np.argsort(-score, axis=1, kind="stable")[:, :100]
        return Hits(torch.from_numpy(places.copy()), torch.zeros(places.shape))

    return {"popularity": popularity, "item-kNN": item_knn}


def tell(name: str, seed: int, judged: dict[str, Judged]) -> None:
    whole = {one: cell.estimates for one, cell in judged.items()} | {"macro": macro(judged)}
    say(
        json.dumps(
            {"recipe": name, "seed": seed}
            | {
                metric: {one: round(found[metric].value or 0.0, 4) for one, found in whole.items()}
                for metric in METRICS
            }
        )
    )


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
