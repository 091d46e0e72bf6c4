"""A scenario that comes later, with few rows or many: its adapter against a model of its own and full fine-tuning.

    .venv/bin/python benchmarks/autoifs_adapter.py --out runs/adapter --seeds 0 1 2

A balanced world of a million rows. Everything but scenario s3 trains `autoifs-noselect`; then s3 comes with its first
1,000, 10,000 or 100,000 rows (a tenth of them to validate). Judged on s3's last rows against the true probabilities
(AUC and log-loss above the truth's own, in thousandths; means of three tasks), and on the others' last rows by how far
their scores moved. Learning rates of fine-tuning: the better of 1e-3 and 1e-4 by validation.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import torch

from polyrec.artifact import Bundle
from polyrec.batch import Batch
from polyrec.config import DataConfig, RunConfig, TrainingConfig
from polyrec.data.held import ByScenario
from polyrec.data.simulate import judge, simulate
from polyrec.evaluation import collect
from polyrec.evaluation.validation import validation
from polyrec.models import build
from polyrec.objectives import balance
from polyrec.recipes import adapt as adapting
from polyrec.recipes.adapters import with_scenario
from polyrec.recipes.fit import fit
from polyrec.schema import ALL
from polyrec.training import Evaluation, Stage, train

NEW, ROWS, COUNTS = "s3", 1_000_000, (1_000, 10_000, 100_000)
MODEL = {"dim": 8, "widths": [64, 32], "scenario_widths": [16]}
TRAINING = {
    "epochs": 6,
    "batch_size": 1024,
    "lr": 2e-3,
    "table_lr": 0.05,
    "evaluations": 1,
    "patience": 2,
    "threads": 1,
}
BUDGET = TrainingConfig(epochs=20, batch_size=256, evaluations=1, patience=2, metric="log_loss", threads=1)
TRUTH = {"click": "p_click", "action": "p_action", "buy": "p_buy"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/adapter"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[tuple[int, str], list[dict[str, float]]] = {}
    for seed in options.seeds:
        for key, facts in one(options.out / f"balanced{seed}", seed).items():
            found.setdefault(key, []).append(facts)
            print(seed, key, json.dumps(facts), flush=True)
    print(
        "| rows | way | AUC | log-loss above the truth | largest move of another's score | change of the others' AUC |"
    )
    print("|---|---|---|---|---|---|")
    for (count, way), runs in found.items():
        cells = [spread([run[name] for run in runs], digits) for name, digits in SHOWN.items()]
        print(f"| {count:,} | {way} | {' | '.join(cells)} |")


SHOWN = {"auc": 4, "excess": 1, "moved": 3, "others": 4}


def spread(values: Sequence[float], digits: int) -> str:
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def one(world: Path, seed: int) -> dict[tuple[int, str], dict[str, float]]:
    if not world.exists():
        simulate(world, rows=ROWS, preset="balanced", seed=seed)
        log = pl.read_parquet(world / "log.parquet").with_row_index("place")
        first, last = log[: int(0.85 * ROWS)], log[int(0.85 * ROWS) :]
        first.filter(pl.col("scenario") != NEW).drop("place").write_parquet(world / "base.parquet")
        mine = first.filter(pl.col("scenario") == NEW)
        for count in COUNTS:
            mine[:count].drop("place").write_parquet(world / f"new-{count}.parquet")
        last.filter(pl.col("scenario") == NEW).write_parquet(world / "test.parquet")
        last.filter(pl.col("scenario") != NEW).write_parquet(world / "others.parquet")
    data = DataConfig(str(world / "schema.toml"), log=(str(world / "base.parquet"),))
    schema = (world / "schema.toml").read_text()
    open_schema = "\n".join(line for line in schema.splitlines() if not line.startswith("scenarios"))
    (world / "open.toml").write_text(open_schema)
    run = RunConfig(
        "autoifs-noselect", replace(data, schema=str(world / "open.toml")), MODEL, training={**TRAINING, "seed": seed}
    )
    folder = fit(run, world / "run", resume=True)
    base = Bundle.load(folder.bundle)
    found = {}
    before = scores(base, world, "others")
    for count in COUNTS:
        path, budget = str(world / f"new-{count}.parquet"), replace(BUDGET, seed=seed)
        with TemporaryDirectory() as out:
            made = adapting.adapt(folder.path, NEW, [path], Path(out) / "a", training=budget)
            found[count, "adapter"] = judged(Bundle.load(made.bundle), world, before)
        ways = [tuned(base, world, path, replace(budget, lr=lr, table_lr=10 * lr), fresh=False) for lr in (1e-3, 1e-4)]
        found[count, "full fine-tuning"] = judged(max(ways, key=lambda one: one[1])[0], world, before)
        ways = [tuned(base, world, path, replace(budget, lr=lr, table_lr=25 * lr), fresh=True) for lr in (2e-3, 5e-4)]
        alone = judged(max(ways, key=lambda one: one[1])[0], world, None)
        found[count, "from scratch"] = {**alone, "moved": float("nan"), "others": float("nan")}
        found[count, "no training"] = judged(with_scenario(base, NEW, adapting._at_zero), world, before)
    return found


def tuned(base: Bundle, world: Path, path: str, training: TrainingConfig, *, fresh: bool) -> tuple[Bundle, float]:
    """All weights trained on the new rows, from the base or from new ones; and the validation's score."""
    grown = with_scenario(base, NEW, adapting._at_zero)
    if fresh:
        torch.manual_seed(training.seed)
        model = build("autoifs", grown.encoder.layout, grown.objective.heads, grown.manifest.model.options)
        grown = replace(grown, model=model)
    parts = adapting.split(DataConfig(schema="", log=(path,)), grown.schema)
    rows = {name: adapting._rows(grown, NEW, source, name) for name, source in adapting._named(parts).items()}

    def evaluate() -> Evaluation:
        value = validation(adapting._collected(grown, rows["valid"]), "log_loss").mean
        return Evaluation(None if value is None else -value, {})

    grown.objective.requires_grad_(False)
    history = train(
        Stage("tune", training),
        grown.model,
        grown.objective,
        balance.build("fixed", grown.objective.terms),
        ByScenario(rows["train"], batch_size=training.batch_size, seed=training.seed),
        evaluate,
    )
    return grown, history.best_score if history.best_score is not None else -9e9


def table_of(bundle: Bundle, world: Path, name: str) -> tuple[Batch, pl.DataFrame]:
    rows = pl.read_parquet(world / f"{name}.parquet")
    truth = pl.read_parquet(world / "truth.parquet", columns=list(TRUTH.values()))[rows["place"]]
    return bundle.encoder.encode(rows.drop("place").to_arrow()), truth


@torch.inference_mode()
def scores(bundle: Bundle, world: Path, name: str) -> tuple[dict[str, torch.Tensor], float, float]:
    """Probabilities by task, and AUC and log-loss above the truth."""
    batch, truth = table_of(bundle, world, name)
    found = collect.run(bundle.logits, [batch], model=bundle.model, rows=len(batch))
    p = {
        target.task: torch.sigmoid(torch.from_numpy(one).double())
        for target, one in found.logits.items()
        if target.space == ALL
    }
    judgements = [judge(one.numpy(), truth[TRUTH[task]].to_numpy()) for task, one in p.items()]
    return p, mean(one.auc for one in judgements), 1000 * mean(one.log_loss - one.least for one in judgements)


def judged(bundle: Bundle, world: Path, before: Any) -> dict[str, float]:
    _, auc, excess = scores(bundle, world, "test")
    facts = {"auc": auc, "excess": excess}
    if before is not None:
        after = scores(bundle, world, "others")
        facts["moved"] = max(float((after[0][task] - one).abs().max()) for task, one in before[0].items())
        facts["others"] = after[1] - before[1]
    return facts


if __name__ == "__main__":
    main()
