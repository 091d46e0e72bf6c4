"""One period's training: the state that stands, its optimizer warm, on new rows and on some of earlier ones."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any

from polyrec.config import TrainingConfig
from polyrec.data.files import Source
from polyrec.data.replay import Replayed
from polyrec.data.split import Splits
from polyrec.declare import parse
from polyrec.errors import ConfigError
from polyrec.recipes.continual.folder import ContinualFolder
from polyrec.recipes.continual.rows import stored
from polyrec.recipes.continual.state import Learner, State
from polyrec.recipes.prepare import Prepared
from polyrec.recipes.recipe import get
from polyrec.recipes.rows import Rows
from polyrec.recipes.transferring import Transfer
from polyrec.training import Evaluation, train
from polyrec.training import checkpoint as checkpoints
from polyrec.training.progress import Log
from polyrec.training.seed import derive


@dataclass(frozen=True, slots=True)
class Options:
    """How periods are learned from."""

    epochs: int = 1  # passes over a period
    replay: float = 0.0  # share of each batch that is drawn from earlier periods
    hold: float = 0.05  # share of a period's rows that is never trained on: what forgetting is measured with
    force: bool = False  # learn from a period whatever the guards say
    skip: bool = False  # leave bad periods out and go on
    keep: int = 4  # generations on disk
    training: Mapping[str, Any] = field(default_factory=dict)  # over the run's, for instance a smaller lr

    def __post_init__(self) -> None:
        if not (0 <= self.hold < 1 and 0 <= self.replay < 1 and self.epochs >= 1 and self.keep >= 2):
            raise ConfigError(
                f"epochs = {self.epochs} must be at least 1, keep = {self.keep} at least 2, hold = {self.hold} and "
                f"replay = {self.replay} within 0 and 1."
            )


def learn(
    state: State,
    rows: Source,
    number: int,
    about: Mapping[str, Any],
    options: Options,
    out: ContinualFolder,
    log: Log | None,
) -> tuple[Learner, int]:
    """One period's training, which a killed attempt goes on with; the learner and how many rows it read.

    `about`: what the rows are; an attempt on others, or on the same with other labels, is begun anew.
    """
    learner, parts = state.learner, state.learner.assembly
    plain = {one: value for one, value in asdict(parts.training).items() if value is not None}
    fixed = {"epochs": options.epochs, "evaluations": 1, "warmup": 0, "lr_decay": "none"}
    seed = derive(parts.training.seed, "update", number)
    training = parse(TrainingConfig, {**plain, **fixed, **options.training, "seed": seed}, "--set training")
    stage = replace(parts.stage, training=training, keep="last", start="scratch", carry=())
    parts = replace(parts, stage=stage)
    prepared = Prepared(state.schema, Splits(rows, rows, None), state.encoder)
    if get(state.run.recipe).transfer_options is not None and stage.data != "train":
        loader = Transfer.of(state.run, prepared).parts(parts, {}).loader
    else:
        loader = Rows(state.run, prepared).loader(parts)
    if options.replay:
        if stage.data != "train":
            raise ConfigError(f"replay is for recipes that learn from rows as they come, not from {stage.data}.")
        earlier = stored(state, out, number)
        loader = Replayed(loader, earlier, share=options.replay, seed=seed)  # type: ignore[arg-type]
    key = json.dumps([about, asdict(training), options.replay], sort_keys=True)
    working = out.working(f"{number:06d}-{blake2b(key.encode(), digest_size=6).hexdigest()}")
    history = train(
        stage, parts.model, parts.objective, parts.balancer, loader, lambda: Evaluation(None, {}),
        folder=working, resume=True, log=None if log is None else lambda _: None, warm=learner.optimizer,
    )  # fmt: skip
    kept = checkpoints.load(working / "checkpoints" / f"{stage.name}.safetensors")
    assert kept is not None
    return Learner(replace(parts, stage=learner.assembly.stage), kept.part("optimizer")), history.rows
