"""Everything that goes on from one period to the next, in memory and on disk."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from polyrec.artifact import Bundle
from polyrec.artifact.bundle import describe
from polyrec.config import RunConfig
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.profile import Profile, sizes
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import BundleError, ConfigError, NotReadyError
from polyrec.evaluation.report import Report
from polyrec.recipes.assemble import Assembly, assemble, plan_of
from polyrec.recipes.folder import RunFolder
from polyrec.schema import Schema
from polyrec.shapes import Tensor
from polyrec.training import checkpoint
from polyrec.training.growth import Growth
from polyrec.training.seed import derive

LEARNER = "learner.safetensors"


@dataclass(frozen=True)
class Learner:
    """A stage that goes on: its parts with their weights, and the state of their optimizer."""

    assembly: Assembly
    optimizer: Mapping[str, Tensor]

    @property
    def parts(self) -> dict[str, torch.nn.Module]:
        """The modules by the names that checkpoints know them by."""
        one = self.assembly
        return {"model": one.model, "objective": one.objective, "balancer": one.balancer}

    def tensors(self) -> dict[str, Tensor]:
        """Weights and optimizer state by name, as a checkpoint has them."""
        weights = {f"weights/{part}/{name}": one for part, module in self.parts.items()
                   for name, one in module.state_dict().items()}  # fmt: skip
        return weights | {f"optimizer/{name}": one for name, one in self.optimizer.items()}

    def grown(self, run: RunConfig, encoder: Encoder, known: int, seed: int) -> "Learner":
        """The same for a larger layout: what was learned in its place, what is new as the model begins."""
        torch.manual_seed(seed)
        made = assemble(_seeded(run, seed), encoder.layout, self.assembly.stage.name)
        # The seed is of new weights alone: later periods draw theirs from the run's, as after a restart.
        new = Learner(replace(made, stage=self.assembly.stage), {})
        optimizer: dict[str, Tensor] = {}
        for part, module in new.parts.items():
            growth = Growth.between(self.parts[part], module, scenarios=(known, len(encoder.layout.scenarios)))
            module.load_state_dict(growth.weights(self.parts[part].state_dict(), module.state_dict()))
            shapes = {name: one.shape for name, one in module.named_parameters()}
            optimizer |= growth.optimizer(part, self.optimizer, shapes)
        return replace(new, optimizer=optimizer)


@dataclass(frozen=True)
class State:
    """A generation: what has been learned, with which encoding, from which periods.

    `history`: a line a period, the fit's first. `profiles`: what the fit's training and test rows looked
    like, then each period. `first`: how many ids the fit's vocabulary had, by feature.
    """

    run: RunConfig
    schema: Schema
    encoder: Encoder
    learner: Learner
    history: tuple[Mapping[str, Any], ...] = ()
    profiles: tuple[Profile, ...] = ()
    first: Mapping[str, int] = field(default_factory=dict)

    @property
    def until(self) -> Any:
        """The moment up to which has been trained; None where nobody knows. One wrong clock does not move it."""
        trained = [*self.profiles[:1], *self.profiles[2:]]
        return max((one.until for one in trained if one.until is not None), default=None)

    @property
    def drawn(self) -> int:
        """The seed of which rows are never trained on: one for all periods, so that a row is never held and learned."""
        return derive(self.learner.assembly.training.seed, "held")

    def bundle(self, *, shared: bool = False) -> Bundle:
        """The model that scores. `shared`: rows of a scenario that it does not know get the shared path."""
        parts, encoder = self.learner.assembly, self.encoder
        if shared:
            encoder = Encoder(replace(self.schema, unknown_scenario="shared"), encoder.vocabulary)
        manifest = describe(parts.recipe.name, parts.model_part, parts.objective_part, self.schema, parts.model)
        return Bundle(manifest, self.schema, encoder, parts.model.eval(), parts.objective.eval())

    def grown(self, source: Source) -> "State":
        """With the values and scenarios of a period; the state itself where there is nothing new."""
        before = self.encoder.vocabulary
        vocabulary = before.grow(self.schema, source, scenarios=True)
        same = before.scenarios == vocabulary.scenarios and all(
            len(one) == len(vocabulary.values[name]) for name, one in before.values.items()
        )
        schema = self.schema.with_scenarios(vocabulary.scenarios)
        encoder = Encoder(schema, vocabulary)
        if same:
            return replace(self, encoder=encoder)
        seed = derive(self.learner.assembly.training.seed, "grow", len(self.history))
        learner = self.learner.grown(self.run, encoder, len(before.scenarios), seed)
        return replace(self, schema=schema, encoder=encoder, learner=learner)

    def save(self, folder: Path, golden: pa.Table, told: Mapping[str, Any], report: str | None) -> None:
        """Write a generation's folder: the bundle, the state of what goes on, history and profiles."""
        bundle = self.bundle()
        replace(bundle, manifest=replace(bundle.manifest, **told)).save(folder / "bundle", golden, report)
        checkpoint.save(folder / LEARNER, checkpoint.Checkpoint(self.learner.tensors(), {}))
        lines = "".join(json.dumps(one, ensure_ascii=False, allow_nan=False) + "\n" for one in self.history)
        (folder / "history.jsonl").write_text(lines, encoding="utf-8")
        plain = {
            "stage": self.learner.assembly.stage.name,
            "first": self.first,
            "profiles": [one.to_dict() for one in self.profiles],
        }
        (folder / "state.json").write_text(json.dumps(plain), encoding="utf-8")

    @classmethod
    def load(cls, run: RunConfig, folder: Path) -> "State":
        """Read a generation.

        Raises:
            BundleError: it is damaged.
        """
        try:
            plain = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
            history = tuple(json.loads(one) for one in lines)
            profiles = tuple(Profile.from_dict(one) for one in plain["profiles"])
            stage, first = str(plain["stage"]), plain.get("first")
        except (OSError, ValueError, KeyError, TypeError) as reason:
            raise BundleError(
                f"generation {folder} is damaged: {reason}. Go back to another with `polyrec rollback`."
            ) from reason
        schema = Schema.load(folder / "bundle" / "schema.json")
        encoder = Encoder(schema, Vocabulary.load(folder / "bundle" / "vocabulary"))
        learner = _learner(run, encoder, stage, folder / LEARNER)
        return cls(run, schema, encoder, learner, history, profiles, sizes(encoder) if first is None else first)

    @classmethod
    def of_run(cls, run: RunConfig, folder: RunFolder) -> "State":
        """What a finished fit left."""
        schema = Schema.load(folder.bundle / "schema.json")
        encoder = Encoder(schema, Vocabulary.load(folder.vocabulary))
        stage = going_on(run, Report.load(folder.report))
        path = folder.checkpoints / f"{stage}.safetensors"
        return cls(run, schema, encoder, _learner(run, encoder, stage, path), first=sizes(encoder))


def going_on(run: RunConfig, report: Report) -> str:
    """The stage that learns from new periods: the one whose weights were kept.

    Raises:
        ConfigError: a stage that learns from a teacher, which is not refreshed yet.
    """
    stages = plan_of(run).stages
    kept = str(report.extra.get("transfer", {}).get("kept", stages[-1].name))
    data = next(one.data for one in stages if one.name == kept)
    if data == "transfer":
        raise ConfigError(
            f"recipe {run.recipe!r} was kept at stage {kept!r}, which learns from a teacher and from chosen rows of "
            "other scenarios: update refreshes neither yet. Fit again with the new rows."
        )
    return kept


def _learner(run: RunConfig, encoder: Encoder, name: str, path: Path) -> Learner:
    found = checkpoint.load(path)
    optimizer = {} if found is None else found.part("optimizer")
    if found is None or not optimizer:
        raise NotReadyError(
            f"{path} has no weights with the state of their optimizer: an earlier polyrec wrote it. Fit again."
        )
    learner = Learner(assemble(run, encoder.layout, name), optimizer)
    for part, module in learner.parts.items():
        module.load_state_dict(found.part(f"weights/{part}"))
    return learner


def _seeded(run: RunConfig, seed: int) -> RunConfig:
    """The same run with other first weights."""
    stages = {name: {**options, "seed": seed} for name, options in run.stages.items()}
    return replace(run, training={**run.training, "seed": seed}, stages=stages)
