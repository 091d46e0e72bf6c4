"""One recipe trained on one world, and the predictions on its test rows: shared by the benchmarks on simulated worlds.

Everything is the library's; only the report and the bundle of `polyrec fit` are left out.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.loader import Loader
from polyrec.evaluation import collect
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.validation import validation
from polyrec.recipes.assemble import Assembly, assemble
from polyrec.recipes.outcome import batches
from polyrec.recipes.prepare import Prepared, prepare
from polyrec.training import Evaluation, Stage, train


@dataclass(frozen=True)
class Trained:
    """The test rows' predictions, and what the run was like."""

    collected: Collected
    about: Mapping[str, Any]


def prepared_world(world: Path, split: Split | None = None) -> Prepared:
    """A simulated world, split by time."""
    split = split or Split(by="time", valid=0.1, test=0.1)
    return prepare(DataConfig(schema=str(world / "schema.toml"), log=(str(world / "log.parquet"),), split=split))


def train_one(
    world: Path,
    recipe: str,
    model: Mapping[str, Any],
    objective: Mapping[str, Any],
    training: Mapping[str, Any],
    prepared: Prepared | None = None,
) -> Trained:
    """Train, keep the best validation's weights, and score the test rows."""
    torch.set_num_threads(1)
    prepared = prepared or prepared_world(world)
    data = DataConfig(schema="-", log=("-",))
    run = RunConfig(recipe, data, model=dict(model), objective=dict(objective), training=dict(training))
    parts = assemble(run, prepared.encoder.layout)
    loader = Loader(
        prepared.splits.train,
        prepared.encoder,
        batch_size=parts.training.batch_size,
        shuffle_rows=262_144,
        seed=parts.training.seed,
    )

    def evaluate() -> Evaluation:
        found = validation(scored(parts, prepared.splits.valid, prepared), parts.training.metric)
        sign = -1.0 if parts.training.metric == "log_loss" else 1.0
        return Evaluation(None if found.mean is None else sign * found.mean, {})

    started = time.process_time()
    history = train(Stage("train", parts.training), parts.model, parts.objective, parts.balancer, loader, evaluate)
    about = {
        "validation": history.best_score,
        "course": [round(one["score"], 5) for one in history.validations],
        "seconds": round(time.process_time() - started, 1),
        "parameters": sum(one.numel() for one in parts.model.parameters()),
    }
    assert prepared.splits.test is not None
    return Trained(scored(parts, prepared.splits.test, prepared), about)


def scored(parts: Assembly, source: Any, prepared: Prepared) -> Collected:
    """Logits of every target beside the labels, in the rows' order."""
    return collect.run(
        lambda batch: parts.objective.predict(parts.model(batch)), batches(source, prepared), model=parts.model
    )
