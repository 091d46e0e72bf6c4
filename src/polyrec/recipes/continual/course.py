"""How a period is learned from: options over the run's own, and the training of one learner."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from polyrec.config import TrainingConfig
from polyrec.declare import parse
from polyrec.errors import ConfigError
from polyrec.objectives import Balancer, Objective
from polyrec.recipes.continual.learner import Learner
from polyrec.training import Evaluation, train
from polyrec.training import checkpoint as checkpoints
from polyrec.training.progress import Log
from polyrec.training.seed import derive
from polyrec.training.spread import Batches


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
        said = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "keep": (self.keep >= 2, "at least 2"),
            "hold": (0 <= self.hold < 1, "at least 0 and less than 1"),
            "replay": (0 <= self.replay < 1, "at least 0 and less than 1"),
        }
        wrong = [f"{name} = {getattr(self, name)} must be {words}" for name, (fine, words) in said.items() if not fine]
        if wrong:
            raise ConfigError(f"{'; '.join(wrong)}.")


@dataclass(frozen=True, slots=True)
class Course:
    """A period's training: its options, its number, and where it keeps its place."""

    options: Options
    number: int
    working: Path
    log: Log | None

    def training(self, own: TrainingConfig) -> TrainingConfig:
        """A stage's budget in this period."""
        plain = {one: value for one, value in asdict(own).items() if value is not None}
        fixed = {"epochs": self.options.epochs, "evaluations": 1, "warmup": 0, "lr_decay": "none"}
        seed = derive(own.seed, "update", self.number)
        return parse(TrainingConfig, {**plain, **fixed, **self.options.training, "seed": seed}, "--set training")

    def train(
        self, learner: Learner, loader: Batches, objective: Objective | None = None, balancer: Balancer | None = None
    ) -> tuple[Learner, int]:
        """The learner after these batches, its optimizer warm, and how many rows it read.

        Args:
            learner: goes on.
            loader: the rows.
            objective: in place of its own, around it.
            balancer: in place of its own.
        """
        parts = learner.assembly
        training = self.training(parts.training)
        stage = replace(parts.stage, training=training, keep="last", start="scratch", carry=())
        history = train(
            stage, parts.model, objective or parts.objective, balancer or parts.balancer, loader,
            lambda: Evaluation(None, {}), folder=self.working, resume=True,
            log=None if self.log is None else lambda _: None, warm=learner.optimizer,
        )  # fmt: skip
        kept = checkpoints.load(self.working / "checkpoints" / f"{stage.name}.safetensors")
        assert kept is not None
        return Learner(parts, kept.part("optimizer")), history.rows
