"""Rows a second of training of the retrieval recipes, against the plain two towers, in turns on the same rows.

    .venv/bin/python benchmarks/retrieval_speed.py --rows 300000

The world `starved`; an epoch of stage 2 on positives a turn, towers (128, 64), one thread; medians of the rounds.
"""

import argparse
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from retrieval_starved import configured

from polyrec.config import DataConfig, Split
from polyrec.data.simulate import simulate
from polyrec.recipes.assemble import assemble
from polyrec.recipes.prepare import prepare
from polyrec.recipes.rows import Rows
from polyrec.training import Evaluation, Stage, train

PLAIN = "twotower-mixed"
RECIPES = (PLAIN, "twotower-feature", "twotower-single", "sass-base")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as held:
        folder = Path(held)
        simulate(folder / "world", rows=options.rows, preset="starved", seed=0)
        data = DataConfig(
            schema=str(folder / "world" / "schema.toml"),
            log=(str(folder / "world" / "log.parquet"),),
            split=Split(by="time", valid=0.1, test=0.25),
        )
        prepared = prepare(data)
        found: dict[str, list[float]] = {name: [] for name in RECIPES}
        for _ in range(options.rounds):
            for name in RECIPES:
                run = configured(name, data, 0, ["training.epochs=1"])
                made = assemble(run, prepared.encoder.layout, "train")
                loader = Rows(run, prepared).loader(made)
                begun = time.process_time()
                history = train(
                    Stage("train", made.training),
                    made.model,
                    made.objective,
                    made.balancer,
                    loader,
                    lambda: Evaluation(None, {}),
                )
                found[name].append(history.rows / (time.process_time() - begun))
    for name, speeds in found.items():
        ratio = median(mine / plain for mine, plain in zip(speeds, found[PLAIN], strict=True))
        print(f"{name}: {median(speeds):,.0f} rows/s of the processor, {ratio:.2f} of {PLAIN}")


if __name__ == "__main__":
    main()
