"""What AutoIFS costs beside MMoE and PLE at any number of scenarios: rows a second, weights, size of the bundle.

    .venv/bin/python benchmarks/autoifs_cost.py --out runs/cost

Simulated rows of a balanced world with so many scenarios, 16 columns; like widths everywhere (256-128 below, 64 above).
Training and scoring of batches in memory, so that only the model is compared; each round takes every model in turn,
medians of rounds.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from polyrec.artifact import Bundle
from polyrec.artifact.bundle import describe
from polyrec.batch import Batch
from polyrec.config import DataConfig, RunConfig
from polyrec.data.loader import Loader
from polyrec.data.simulate import simulate
from polyrec.recipes.assemble import assemble
from polyrec.recipes.outcome import golden
from polyrec.recipes.prepare import Prepared, prepare
from polyrec.training.optim import Optimizer

MODELS = {
    "mmoe": ("mmoe", {"expert_widths": [128, 64], "tower_widths": [32]}),
    "ple": ("ple", {"expert_widths": [128, 64], "tower_widths": [32]}),
    "autoifs": ("autoifs", {"gates": "hard"}),
    "autoifs, no selector": ("autoifs-noselect", {}),
    "autoifs, a selector that reads rows": ("autoifs", {"gates": "hard", "selector": "row"}),
}
BATCH, STEPS = 4096, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/cost"))
    parser.add_argument("--scenarios", type=int, nargs="+", default=[3, 30, 300])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | scenarios | training rows/s | scoring rows/s | against mmoe | weights | bundle, kB |")
    print("|---|---|---|---|---|---|---|")
    for scenarios in options.scenarios:
        world = options.out / f"world{scenarios}"
        if not world.exists():
            simulate(world, rows=100_000, preset="balanced", scenarios=scenarios, seed=0)
        prepared = prepare(DataConfig(str(world / "schema.toml"), log=(str(world / "log.parquet"),)))
        loader = Loader(prepared.splits.train, prepared.encoder, batch_size=BATCH)
        batches = [batch for _, batch in loader.epoch(0)][:STEPS]
        show(prepared, batches, scenarios, options.rounds, options.out)


def show(prepared: Prepared, batches: Sequence[Batch], scenarios: int, rounds: int, out: Path) -> None:
    rows = sum(map(len, batches))
    made = {}
    for name, (recipe, model) in MODELS.items():
        run = RunConfig(recipe, prepared_data(), model=model, training={"seed": 0})
        made[name] = assemble(run, prepared.encoder.layout)
    optimizers = {
        name: Optimizer({"model": one.model, "objective": one.objective}, one.training, 1_000)
        for name, one in made.items()
    }
    trained: dict[str, list[float]] = {name: [] for name in made}
    scored: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, one in made.items():
            one.model.train()
            started = time.process_time()
            for step, batch in enumerate(batches):
                torch.stack(list(one.objective(one.model(batch), batch).values())).sum().backward()
                optimizers[name].step(step)
            trained[name].append(rows / (time.process_time() - started))
            one.model.eval()
            started = time.process_time()
            with torch.inference_mode():
                for batch in batches:
                    one.objective.predict(one.model(batch))
            scored[name].append(rows / (time.process_time() - started))
    for name, one in made.items():
        manifest = describe(one.recipe.name, one.model_part, one.objective_part, prepared.schema, one.model)
        bundle = Bundle(manifest, prepared.schema, prepared.encoder, one.model.eval(), one.objective.eval())
        folder = out / f"{name.replace(' ', '_')}-{scenarios}"
        bundle.save(folder, golden(prepared.splits.valid, prepared))
        size = (folder / "model.safetensors").stat().st_size / 1000
        ratio = median(a / b for a, b in zip(trained[name], trained["mmoe"], strict=True))
        print(
            f"| `{name}` | {scenarios} | {median(trained[name]):,.0f} | {median(scored[name]):,.0f} | x{ratio:.2f} | "
            f"{manifest.parameters:,} | {size:,.0f} |",
            flush=True,
        )


def prepared_data() -> DataConfig:
    return replace(DataConfig(schema="-", log=("-",)))


if __name__ == "__main__":
    main()
