"""What vectors know of taste before, between and after the two stages of `sass`, on the planted world `starved`.

    .venv/bin/python benchmarks/retrieval_starved.py --out runs/starved --seeds 0 --recipes sass sass-base
    .venv/bin/python benchmarks/retrieval_taste.py --runs runs/starved --seeds 0

The world's users and items have six factors whose weighted products decide a click. `known`: share of the variance of
these factors (R2, mean of six) that a ridge regression reads from the vectors of scenario s0, fitted on half of the
users (items) and judged on the others. `carried`: the same where a map fitted on the vectors of s0 reads those of s5:
it is high where the two scenarios' vectors mean the same. Nothing is trained here: weights are those of checkpoints.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from retrieval_starved import Planted, configured
from safetensors.torch import load_file
from torch import nn

from polyrec.config import DataConfig, Split
from polyrec.data.held import one_each
from polyrec.recipes.assemble import assemble
from polyrec.recipes.prepare import prepare
from polyrec.retrieval.trial import embed

RIDGE = 1e-2
PREFIX = "weights/model/"
RICH, STARVED = 0, 5
RUNS = (("sass", None), ("sass", "pretrain"), ("sass", "train"), ("sass-base", None), ("sass-base", "train"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="the folder of retrieval_starved.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| seed | recipe | after | users known | carried | items known | carried |\n" + "|---" * 7 + "|")
    for seed in options.seeds:
        for line in told(options.runs, seed):
            print(f"| {seed} | {line} |", flush=True)


def told(runs: Path, seed: int) -> list[str]:
    folder = runs / f"world-{seed}"
    split = Split(by="time", valid=0.1, test=0.25)
    data = DataConfig(schema=str(folder / "schema.toml"), log=(str(folder / "log.parquet"),), split=split)
    prepared = prepare(data)
    planted = Planted(folder, data, prepared, seed)
    everyone = one_each(planted.rows.batches(prepared.splits.train), "user")
    sides = {
        "user": (everyone, planted.world.people.factors),
        "item": (one_each(planted.rows.batches(prepared.splits.train), "item"), planted.world.goods.factors),
    }
    lines = []
    for recipe, stage in RUNS:
        run = configured(recipe, data, seed, ())
        model = assemble(run, prepared.encoder.layout, stage or "train").model.eval()
        if stage is not None:
            kept = load_file(runs / f"{recipe}-{seed}" / "checkpoints" / f"{stage}.safetensors")
            put(model, {name.removeprefix(PREFIX): one for name, one in kept.items() if name.startswith(PREFIX)})
        cells = [f"{one:.3f}" for side, (rows, factors) in sides.items() for one in shares(model, side, rows, factors)]
        lines.append(" | ".join([f"`{recipe}`", stage or "nothing", *cells]))
    return lines


def put(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    missing, _ = model.load_state_dict(dict(weights), strict=False)
    if missing:
        raise SystemExit(f"the checkpoint lacks {', '.join(missing)}")


def shares(model: nn.Module, side: str, rows, factors: np.ndarray) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """`known` and `carried` of one side."""
    found = {}
    for place in (RICH, STARVED):
        mine = rows.select(torch.nonzero(rows.scenario == place)[:, 0])
        entity = (mine.user if side == "user" else mine.item).numpy()
        found[place] = embed(model, side, mine).double().numpy(), factors[entity]  # type: ignore[arg-type]
    vectors, truth = found[RICH]
    half = np.random.default_rng(0).permutation(len(vectors)) < len(vectors) // 2
    known = explained(read(vectors[half], truth[half]), vectors[~half], truth[~half])
    return known, explained(read(vectors, truth), *found[STARVED])


def read(vectors: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weights of a ridge regression with a constant."""
    x = np.column_stack([vectors, np.ones(len(vectors))])
    found: np.ndarray = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ truth)
    return found


def explained(weights: np.ndarray, vectors: np.ndarray, truth: np.ndarray) -> float:
    """R2, mean over factors."""
    off = ((truth - np.column_stack([vectors, np.ones(len(vectors))]) @ weights) ** 2).sum(0)
    return float((1 - off / ((truth - truth.mean(0)) ** 2).sum(0)).mean())


if __name__ == "__main__":
    main()
