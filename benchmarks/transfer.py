"""ECAT on worlds whose transfer relations are planted: what is selected, and what it is worth to the target.

    python benchmarks/transfer.py --out runs/transfer --preset starved --target s5 --seeds 0 1 2
    python benchmarks/transfer.py --out runs/transfer --preset conflict --target s4 --seeds 0 1 2

For each seed a world and for each recipe a fit; the teacher is the bundle of `pooled`, or, where relations are asked
for, that of `ecat`, which was not shown a quarter of the target's users. On the target's test rows the AUC and the
log-loss above the truth's own (in thousandths of a nat) against the true probabilities, means of three tasks. `oracle`
takes candidates from the scenarios that truly help and from no others. A finished run is not run again; each is a line
of results.jsonl. Told at the end, over the seeds: a table, each recipe less another one in the same world, and how much
is enriched after each stage.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import polars as pl
import torch

from polyrec.artifact import Bundle
from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.simulate import describe, judge, simulate
from polyrec.recipes import get
from polyrec.recipes.ecat import NO_GUARD
from polyrec.recipes.fit import fit
from polyrec.recipes.prepare import Prepared, prepare
from polyrec.recipes.recipe import Recipe, add
from polyrec.schema import ALL
from polyrec.transfer import candidates

RECIPES = (
    "pooled",
    "target_only",
    "finetuned",
    "ecat",
    "oracle",
    "ecat-no-guard",
    "ecat-paper",
    "ctnet",
    "dann",
    "ecat-no-relation",
    "ecat-no-graph",
    "ecat-no-distillation",
    "ecat-all-source",
)
MODEL = {"dim": 8, "widths": [64, 32], "tower_widths": [16]}
TEACHER = {
    "epochs": 8,
    "patience": 2,
    "batch_size": 1024,
    "lr": 2e-3,
    "table_lr": 0.05,
    "evaluations": 1,
    "mask_ids": 0.1,
}
ALONE = {"batch_size": 64, "lr": 2e-3, "table_lr": 0.05}  # the best of a few for a model of few rows
TRUTH = {"click": "p_click", "action": "p_action", "buy": "p_buy"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="starved")
    parser.add_argument("--target", default="s5")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(RECIPES), help="or any other recipe of ecat's")
    parser.add_argument("--given", action="store_true", help="the bundle of `pooled` is the teacher of ecat, too")
    options = parser.parse_args()
    add(replace(NO_GUARD, name="oracle"))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in options.only}
    for seed in options.seeds:
        world = options.out / f"{options.preset}{seed}"
        if not world.exists():
            simulate(world, rows=options.rows, preset=options.preset, seed=seed)
        data = DataConfig(
            str(world / "schema.toml"),
            log=(str(world / "log.parquet"),),
            split=Split(by="time", valid=0.1, test=0.25),
        )
        prepared = prepare(data)
        for name in options.only:
            found[name].append(one(name, data, prepared, world, options.target, seed, options.out, options.given))
            line = {"preset": options.preset, "target": options.target, "seed": seed, "recipe": name, **found[name][-1]}
            with (options.out / "results.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(options.preset, seed, name, line["auc"], line["excess"], flush=True)
    told = (table(found), paired(found, "auc", 4), paired(found, "excess", 1), enrichment(found))
    print("\n\n".join(one for one in told if one))


def one(
    name: str, data: DataConfig, prepared: Prepared, world: Path, target: str, seed: int, out: Path, given: bool
) -> dict[str, Any]:
    folder = out / f"{world.name}-{target}-{name}"
    result = folder / "transfer.json"
    if result.exists():
        known: dict[str, Any] = json.loads(result.read_text())
        return known
    recipe = get(name)
    base = {"threads": 1, "seed": seed}
    stages = {stage.name: TEACHER if stage.name == "teacher" else ALONE for stage in recipe.stages if _own(stage.name)}
    run = RunConfig(
        name,
        data,
        model=MODEL,
        training={**base, **(TEACHER if name == "pooled" else {})},
        stages={} if name == "pooled" else stages,
        transfer={} if recipe.transfer_options is None else {"target": target, **_teacher(recipe, folder, name, given)},
    )
    with planted(world, target) if name == "oracle" else nullcontext():
        made = fit(run, folder, prepared=prepared, resume=True)
    facts = judged(Bundle.load(made.bundle), prepared, world, target)
    report = json.loads(made.report.read_text())
    if "transfer" in report:
        facts["transfer"] = report["transfer"]
        if report["transfer"].get("sources"):
            facts["enriched"] = enriched(report["transfer"]["sources"], world, target)
    result.write_text(json.dumps(facts))
    return facts


def _teacher(recipe: Recipe, folder: Path, name: str, given: bool) -> dict[str, str]:
    """The model of all scenarios as it is; where relations are asked for, the one that was not shown some rows."""
    if (name == "ecat" and not given) or not any(stage.name == "teacher" for stage in recipe.stages):
        return {}
    transfers = any(stage.data == "transfer" for stage in recipe.stages)
    asks = transfers and not given and (recipe.transfer_options or {}).get("relation", True)
    start = folder.name.removesuffix(name)
    return {
        "teacher": str(folder.with_name(start + ("ecat" if asks else "pooled")) / ("teacher" if asks else "bundle"))
    }


def _own(stage: str) -> bool:
    return stage in ("teacher", "target")


@contextmanager
def planted(world: Path, target: str) -> Iterator[None]:
    """Relations as they truly are."""
    told = describe(world)["relations"]
    real = candidates.relations

    def known(*_: Any) -> Mapping[str, float]:
        return {name: float(name != target and told[name][target] == "helps") for name in told}

    candidates.relations = known  # type: ignore[assignment]
    try:
        yield
    finally:
        candidates.relations = real


def enriched(sources: Sequence[Mapping[str, Any]], world: Path, target: str) -> dict[str, Any]:
    """Share of rows from scenarios that truly help, after each step, its lift over the entire space, and AUCs.

    AUC: of a step's score (passes or not; the relation) at telling rows of helpful scenarios from the rest.
    """
    told = describe(world)["relations"]
    helps = {one["scenario"]: told[one["scenario"]][target] == "helps" for one in sources}

    def share(key: str) -> float:
        whole = sum(one[key] for one in sources)
        return sum(one[key] for one in sources if helps[one["scenario"]]) / whole if whole else 0.0

    good = sum(one["entire"] for one in sources if helps[one["scenario"]])
    bad = sum(one["entire"] for one in sources) - good
    passed = sum(one["graph"] for one in sources if helps[one["scenario"]]) / good
    wrongly = sum(one["graph"] for one in sources if not helps[one["scenario"]]) / bad
    won = sum(
        one["entire"] * other["entire"] * (one["relation"] > other["relation"])
        + one["entire"] * other["entire"] * 0.5 * (one["relation"] == other["relation"])
        for one in sources
        for other in sources
        if helps[one["scenario"]] and not helps[other["scenario"]]
    )
    base = share("entire")
    return {
        "entire": round(base, 4),
        "graph": round(share("graph"), 4),
        "weight": round(share("share"), 4),
        "lift": {"graph": round(share("graph") / base, 3), "weight": round(share("share") / base, 3)},
        "auc": {"graph": round(0.5 * (1 + passed - wrongly), 4), "relation": round(won / (good * bad), 4)},
    }


@torch.inference_mode()
def judged(bundle: Bundle, prepared: Prepared, world: Path, target: str) -> dict[str, Any]:
    from polyrec.data.held import where
    from polyrec.data.loader import Loader

    test = prepared.splits.test
    assert test is not None
    place = prepared.encoder.layout.scenarios.index(target)
    loader = Loader(test, prepared.encoder, batch_size=8_192, shuffle_rows=65_536)
    rows = where(loader.ordered(), lambda batch: batch.scenario == place)
    truth = pl.read_parquet(world / "truth.parquet", columns=list(TRUTH.values()))[-test.rows() :]
    scenario = pl.read_parquet(world / "log.parquet", columns=[prepared.schema.keys.scenario])[-test.rows() :]
    truth = truth.filter(scenario.to_series() == target)
    aucs, excess = {}, {}
    for one, logit in bundle.logits(rows).items():
        if one.space == ALL:
            found = judge(torch.sigmoid(logit.double()).numpy(), truth[TRUTH[one.task]].to_numpy())
            aucs[one.task], excess[one.task] = round(found.auc, 4), round(1000 * (found.log_loss - found.least), 2)
    return {"auc": aucs, "excess": excess, "rows": len(rows)}


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    lines = [
        "| recipe | AUC, click | action | buy | mean | log-loss above the truth, mean |",
        "|---|---|---|---|---|---|",
    ]
    for name, runs in found.items():
        cells = [[run["auc"][task] for run in runs] for task in TRUTH]
        cells.append([mean(run["auc"].values()) for run in runs])
        shown = [spread(one, 4) for one in cells]
        shown.append(spread([mean(run["excess"].values()) for run in runs], 1))
        lines.append(f"| `{name}` | {' | '.join(shown)} |")
    return "\n".join(lines)


AGAINST = ("target_only", "pooled", "finetuned")


def paired(found: Mapping[str, Sequence[Mapping[str, Any]]], what: str, digits: int) -> str:
    """Each recipe's mean over tasks less another one's in the same world; in how many worlds it is higher."""
    others = [name for name in AGAINST if name in found]
    lines = [f"| {what} | {' | '.join(f'less `{name}`' for name in others)} |", "|---" * (len(others) + 1) + "|"]
    for name, runs in found.items():
        cells = []
        for other in others:
            gains = [mean(a[what].values()) - mean(b[what].values()) for a, b in zip(runs, found[other], strict=True)]
            above = f"{sum(gain > 0 for gain in gains)} of {len(gains)}"
            cells.append("0" if name == other else f"{spread(gains, digits)} ({above})")
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) if others else ""


def enrichment(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Share of rows from scenarios that truly help, after each stage; lift over the entire space; AUC."""
    heads = ("recipe", "entire space", "graph: share, lift, AUC", "relation: AUC", "weights: share, lift")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, runs in found.items():
        told = [run["enriched"] for run in runs if "enriched" in run]
        if told:
            graph = (spread([one["graph"] for one in told], 2), _lifts(told, "graph"), _aucs(told, "graph"))
            weights = (spread([one["weight"] for one in told], 2), _lifts(told, "weight"))
            entire, relation = spread([one["entire"] for one in told], 2), _aucs(told, "relation")
            lines.append(f"| `{name}` | {entire} | {', '.join(graph)} | {relation} | {', '.join(weights)} |")
    return "\n".join(lines) if lines[2:] else ""


def _lifts(told: Sequence[Mapping[str, Any]], stage: str) -> str:
    return spread([one["lift"][stage] for one in told], 2)


def _aucs(told: Sequence[Mapping[str, Any]], stage: str) -> str:
    return spread([one["auc"][stage] for one in told], 2)


def spread(values: Sequence[float], digits: int) -> str:
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
