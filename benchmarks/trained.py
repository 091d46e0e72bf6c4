"""One recipe trained on one world, and the predictions on its test rows: shared by the benchmarks on simulated worlds.

Everything is the library's; only the report and the bundle of `polyrec fit` are left out.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch

from polyrec.config import DataConfig, RunConfig, Split, TrainingConfig
from polyrec.data.files import Source
from polyrec.data.loader import Loader
from polyrec.declare import parse
from polyrec.evaluation import collect
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.validation import validation
from polyrec.recipes.assemble import Assembly, assemble
from polyrec.recipes.prepare import Prepared, prepare
from polyrec.training import Evaluation, History, Stage, train


@dataclass(frozen=True)
class Trained:
    """The test rows' predictions, and what the run was like."""

    collected: Collected
    about: Mapping[str, Any]
    parts: Assembly


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
    started = time.process_time()
    history = _stage(parts, prepared, prepared.splits.train, prepared.splits.valid)
    about = {
        "validation": history.best_score,
        "course": [round(one["score"], 5) for one in history.validations],
        "seconds": round(time.process_time() - started, 1),
        "parameters": sum(one.numel() for one in parts.model.parameters()),
    }
    assert prepared.splits.test is not None
    return Trained(scored(parts, prepared.splits.test, prepared), about, parts)


def fine_tuned(trained: Trained, prepared: Prepared, training: Mapping[str, Any]) -> Collected:
    """The model trained on, scenario by scenario, where the scenario's own validation rows say that it helps."""
    whole, parts = trained.collected, trained.parts
    start = {key: one.clone() for key, one in parts.model.state_dict().items()}
    logits = {target: values.copy() for target, values in whole.logits.items()}
    tuned = replace(parts, stage=Stage("tune", parse(TrainingConfig, dict(training), "[training]"), start="train"))
    with TemporaryDirectory() as folder:
        for place, name in enumerate(whole.scenarios):
            train_rows, valid_rows = (
                _of_scenario(source, name, Path(folder) / f"{place}-{part}.parquet")
                for part, source in (("train", prepared.splits.train), ("valid", prepared.splits.valid))
            )
            parts.model.load_state_dict(start)
            before = _judge(parts, prepared, valid_rows)
            after = _stage(tuned, prepared, train_rows, valid_rows)
            if before is not None and after.best_score is not None and after.best_score > before:
                assert prepared.splits.test is not None
                mine = whole.scenario == place
                better = scored(parts, prepared.splits.test, prepared)
                for target, kept in logits.items():
                    kept[mine] = better.logits[target][mine]
    return replace(whole, logits=logits)


def _of_scenario(source: Source, name: str, path: Path) -> Source:
    source.scan().filter(pl.col("scenario").cast(pl.String) == name).sink_parquet(path)
    return Source((path,))


def _stage(parts: Assembly, prepared: Prepared, rows: Source, valid: Source) -> History:
    loader = Loader(
        rows,
        prepared.encoder,
        batch_size=parts.training.batch_size,
        shuffle_rows=262_144,
        seed=parts.training.seed,
    )
    return train(
        parts.stage,
        parts.model,
        parts.objective,
        parts.balancer,
        loader,
        lambda: Evaluation(_judge(parts, prepared, valid), {}),
    )


def _judge(parts: Assembly, prepared: Prepared, valid: Source) -> float | None:
    """The mean over validation cells, higher for better."""
    found = validation(
        scored(parts, valid, prepared), "log_loss" if parts.training.metric == "log_loss" else "auc"
    ).mean
    return -found if found is not None and parts.training.metric == "log_loss" else found


def scored(parts: Assembly, source: Source, prepared: Prepared) -> Collected:
    """Logits of every target beside the labels, in the rows' order."""
    rows = Loader(source, prepared.encoder, batch_size=2_048, shuffle_rows=131_072, prefetch=1)
    return collect.run(lambda batch: parts.objective.predict(parts.model(batch)), rows.ordered(), model=parts.model)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """In double precision."""
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))
