"""The tables of docs/results/planted_truth.md: objectives and networks against a truth that is known.

    .venv/bin/python benchmarks/planted_truth.py --out runs/truth --preset selection --suite objectives

Simulates the world, trains each method with each seed by one protocol, and judges the test rows (the last tenth by
time) against truth.parquet. A finished run is not run again. One process a run, one thread each.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from trained import Trained, sigmoid, train_one

from polyrec.data.simulate import judge, simulate
from polyrec.schema import Target


class Method(NamedTuple):
    """A recipe, the network under it, and what differs from the recipe's own."""

    name: str
    recipe: str
    network: str = "mmoe"
    objective: Mapping[str, Any] = {}
    model: Mapping[str, Any] = {}


def _on(network: str, balancer: str) -> tuple[Method, ...]:
    """Every objective on one network."""
    plain = ("click_only", "mmoe", "esmm", "esm2", "escm2-ipw", "escm2-dr", "dcmt")
    shown = {"mmoe": "own head"}
    kept = [Method(shown.get(one, one), one, network) for one in plain]
    whole = [
        Method("aem2tl objective, paper", balancer, network, {"identify": False}),
        Method("aem2tl objective, identify", balancer, network, {"identify": True}),
    ]
    return (*kept, *whole)


_PARTS = ("no-scenario-cgc", "no-task-cgc", "no-gating", "no-entire-space", "fixed-weights")
SUITES = {
    "objectives": _on("mmoe", "aem2tl-fixed-weights"),
    "network": _on("aem2tl", "aem2tl"),
    "ablations": (
        Method("aem2tl", "aem2tl", "aem2tl"),
        *(Method(f"aem2tl-{part}", f"aem2tl-{part}", "aem2tl") for part in _PARTS),
    ),
}
# The same for all, chosen by validation with `own head` on mmoe; widths that two cores can repeat in an evening.
NETWORKS: dict[str, dict[str, Any]] = {
    "mmoe": {"dim": 8, "expert_widths": (64, 32), "tower_widths": (32,)},
    "aem2tl": {
        "dim": 8,
        "expert_widths": (64, 32),
        "task_expert_widths": (32,),
        "tower_widths": (32,),
        "gate_width": 16,
    },
}
TRAINING = {"epochs": 2, "evaluations": 1, "patience": 1, "metric": "log_loss", "table_lr": 0.03, "threads": 1}
CLICK, BUY, CONVERSION = Target("click"), Target("buy"), Target("buy", "click")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/truth"))
    parser.add_argument("--preset", default="selection")
    parser.add_argument("--suite", default="objectives", choices=SUITES)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", help="of the suite; all by default")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--set", nargs="+", default=[], help="of [training], as JSON: lr=0.001")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    world = options.out / f"{options.preset}-{options.rows}"
    if not world.exists():
        simulate(world, rows=options.rows, preset=options.preset, seed=0)
    suite = [one for one in SUITES[options.suite] if not options.methods or one.name in options.methods]
    training = TRAINING | {key: json.loads(value) for key, value in (one.split("=") for one in options.set)}
    if options.one:
        method = next(one for one in suite if one.name == options.one[0])
        run(world, options.suite, method, int(options.one[1]), training)
        return
    missing = [
        (method, seed)
        for seed in range(options.seeds)
        for method in suite
        if not place(world, options.suite, method.name, seed).exists()
    ]
    with ThreadPoolExecutor(options.at_once) as pool:
        list(pool.map(lambda one: again(one[0].name, one[1]), missing))
    found = {
        one.name: [json.loads(place(world, options.suite, one.name, seed).read_text()) for seed in range(options.seeds)]
        for one in suite
    }
    sys.stdout.write(f"{table(found)}\n")


def again(method: str, seed: int) -> None:
    """This program once more, for one run."""
    subprocess.run([sys.executable, *sys.argv, "--one", method, str(seed)], check=True)


def place(world: Path, suite: str, method: str, seed: int) -> Path:
    return world / "results" / f"{suite} {method} {seed}.json"


def run(world: Path, suite: str, method: Method, seed: int, training: Mapping[str, Any]) -> None:
    model = {"name": method.network, **NETWORKS[method.network]}
    trained = train_one(world, method.recipe, model, method.objective, {**training, "seed": seed})
    target = place(world, suite, method.name, seed)
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"method": method.name, "seed": seed, **judged(world, trained)}) + "\n")


def judged(world: Path, trained: Trained) -> dict[str, Any]:
    """Every reading of the predictions against the truth that it must be held to."""
    rows = trained.collected
    truth = _last(world, len(rows))
    if not np.array_equal(truth["click"] > 0, rows.labels[CLICK]):
        raise SystemExit("the test rows are not the last rows of truth.parquet")
    said = {target: sigmoid(rows.logits[target]) for target in (CLICK, BUY, CONVERSION)}
    clicked, every = truth["click"] > 0, np.ones(len(rows), bool)
    past = said[BUY] - said[CLICK] * said[CONVERSION]  # p(buy, no click), as the model has it
    direct = np.clip(past / (1 - said[CLICK]), 1e-7, 1 - 1e-7) if np.abs(past).max() > 1e-5 else None
    readings = {
        "whole": (said[BUY], truth["p_buy"], every),
        "clicked": (said[CONVERSION], truth["p_buy_given_click"], clicked),
        "unclicked": (said[CONVERSION], truth["p_buy_given_click"], ~clicked),
        "had they clicked": (said[CONVERSION], truth["p_buy_do_click_given_no_click"], ~clicked),
        "had all clicked": (said[CONVERSION], truth["p_buy_do_click"], every),
        "sampled": (said[CONVERSION], truth["buy_if_clicked"].astype(float), ~clicked),
        "no click": (direct, truth["p_buy_given_no_click"], ~clicked),
        "click": (said[CLICK], truth["p_click"], every),
    }
    found: dict[str, Any] = dict(trained.about)
    for name, (predicted, true, inside) in readings.items():
        if predicted is None:
            found[name] = None
            continue
        told = judge(np.clip(predicted[inside], 1e-7, 1 - 1e-7), true[inside])
        best = judge(np.clip(true[inside], 1e-7, 1 - 1e-7), true[inside])
        found[name] = {"auc": told.auc, "best": best.auc, "over": told.log_loss - told.least, "pcoc": told.pcoc}
    return found


def _last(world: Path, count: int) -> dict[str, np.ndarray]:
    names = ["click", "buy_if_clicked", "p_click", "p_buy", "p_buy_given_click", "p_buy_given_no_click"]
    names += ["p_buy_do_click", "p_buy_do_click_given_no_click"]
    table = pq.read_table(world / "truth.parquet", columns=names)
    return {name: np.asarray(table[name], np.float64)[-count:] for name in names}


SHOWN = {
    "a buy over all impressions; a buy without a click": ("whole", "no click"),
    "a buy given a click, on clicked rows; on rows without one": ("clicked", "unclicked"),
    "a buy had they clicked, on rows without a click; had all clicked, on all rows": (
        "had they clicked",
        "had all clicked",
        "sampled",
    ),
}
COLUMNS = {"auc": (1, 4, "AUC"), "over": (1000, 1, "above"), "pcoc": (1, 3, "PCOC")}


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Mean ± sd over seeds of AUC, log-loss above the truth's own in thousandths, and PCOC, for each reading.

    Against sampled outcomes the AUC alone is shown.
    """
    lines = []
    for words, readings in SHOWN.items():
        columns = [(one, key) for one in readings for key in COLUMNS if one != "sampled" or key == "auc"]
        lines += ["", words, "", "| method | " + " | ".join(f"{one}: {COLUMNS[key][2]}" for one, key in columns) + " |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for name, many in found.items():
            lines.append(f"| {name} | " + " | ".join(_cell(many, *one) for one in columns) + " |")
        best = [next(run[one]["best"] for many in found.values() for run in many if run[one]) for one in readings]
        told = [(one, value) for one, value in zip(readings, best, strict=True) if one != "sampled"]
        lines += ["", "AUC of the truth itself: " + ", ".join(f"{one} {value:.4f}" for one, value in told) + "."]
    return "\n".join(lines).strip()


def _cell(many: Sequence[Mapping[str, Any]], reading: str, key: str) -> str:
    if any(one[reading] is None for one in many):
        return "none"
    scale, digits, _ = COLUMNS[key]
    return _spread([one[reading][key] * scale for one in many], digits)


def _spread(values: Sequence[float], digits: int) -> str:
    sd = stdev(values) if len(values) > 1 else 0.0
    return f"{mean(values):.{digits}f} ± {sd:.{digits}f}"


if __name__ == "__main__":
    main()
