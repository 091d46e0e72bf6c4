"""Everything that goes on from one period to the next, in memory and on disk."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyrec.artifact import Bundle
from polyrec.artifact.bundle import describe
from polyrec.config import RunConfig
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.profile import Profile, sizes
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import BundleError
from polyrec.evaluation.report import Report
from polyrec.recipes.continual.ending import kept_by, taught_by
from polyrec.recipes.continual.learner import Learner
from polyrec.recipes.folder import RunFolder
from polyrec.recipes.transferring import TEACHER
from polyrec.schema import Schema
from polyrec.training import checkpoint
from polyrec.training.seed import derive

LEARNER, TAUGHT_BY = "learner.safetensors", "teacher.safetensors"


@dataclass(frozen=True)
class State:
    """A generation: what has been learned, with which encoding, from which periods.

    `learner` is served. `teacher`, of the entire space, is not: it goes on beside a learner that it teaches. `tuned`:
    the weights beta and alpha of transferred rows and of the distillation, as the fit chose them.

    `history`: a line a period, the fit's first. `profiles`: what the fit's training and test rows looked
    like, then each period. `stretches`: how the training rows moved, see `data.stretches`. `first`: how many
    ids the fit's vocabulary had, by feature.
    """

    run: RunConfig
    schema: Schema
    encoder: Encoder
    learner: Learner
    history: tuple[Mapping[str, Any], ...] = ()
    profiles: tuple[Profile, ...] = ()
    stretches: tuple[Profile, ...] = field(default=(), kw_only=True)
    first: Mapping[str, int] = field(default_factory=dict)
    teacher: Learner | None = None
    tuned: Mapping[str, Any] = field(default_factory=dict)

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
        return self._bundle(self.learner, shared)

    def teachers(self) -> Bundle | None:
        """The teacher, as what scores; None where there is none."""
        return None if self.teacher is None else self._bundle(self.teacher, True)

    def _bundle(self, learner: Learner, shared: bool) -> Bundle:
        parts, encoder = learner.assembly, self.encoder
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
        known = len(before.scenarios)
        learner = self.learner.grown(self.run, encoder, known, seed)
        teacher = self.teacher and self.teacher.grown(self.run, encoder, known, seed)
        return replace(self, schema=schema, encoder=encoder, learner=learner, teacher=teacher)

    def save(self, folder: Path, golden: pa.Table, told: Mapping[str, Any], report: str | None) -> None:
        """Write a generation's folder: the bundle, the state of what goes on, history and profiles."""
        bundle = self.bundle()
        replace(bundle, manifest=replace(bundle.manifest, **told)).save(folder / "bundle", golden, report)
        checkpoint.save(folder / LEARNER, checkpoint.Checkpoint(self.learner.tensors(), {}))
        if self.teacher is not None:
            checkpoint.save(folder / TAUGHT_BY, checkpoint.Checkpoint(self.teacher.tensors(), {}))
        lines = "".join(json.dumps(one, ensure_ascii=False, allow_nan=False) + "\n" for one in self.history)
        (folder / "history.jsonl").write_text(lines, encoding="utf-8")
        plain = {
            "stage": self.learner.assembly.stage.name,
            "first": self.first,
            "tuned": self.tuned,
            "profiles": [one.to_dict() for one in self.profiles],
            "stretches": [one.to_dict() for one in self.stretches],
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
            stretches = tuple(Profile.from_dict(one) for one in plain.get("stretches", ()))
            stage, first, tuned = str(plain["stage"]), plain.get("first"), plain.get("tuned", {})
        except (OSError, ValueError, KeyError, TypeError) as reason:
            raise BundleError(
                f"generation {folder} is damaged: {reason}. Go back to another with `polyrec rollback`."
            ) from reason
        schema = Schema.load(folder / "bundle" / "schema.json")
        encoder = Encoder(schema, Vocabulary.load(folder / "bundle" / "vocabulary"))
        learner = Learner.load(run, encoder, stage, folder / LEARNER)
        there = (folder / TAUGHT_BY).exists()
        teacher = Learner.load(run, encoder, TEACHER, folder / TAUGHT_BY) if there else None
        first = sizes(encoder) if first is None else first
        return cls(run, schema, encoder, learner, history, profiles, first, teacher, tuned, stretches=stretches)

    @classmethod
    def of_run(cls, run: RunConfig, folder: RunFolder) -> "State":
        """What a finished fit left."""
        schema = Schema.load(folder.bundle / "schema.json")
        encoder = Encoder(schema, Vocabulary.load(folder.vocabulary))
        report = Report.load(folder.report)
        stage = kept_by(run, report)
        taught = taught_by(run, stage)

        def learner(name: str, weights: str) -> Learner:
            return Learner.load(run, encoder, name, folder.checkpoints / f"{weights}.safetensors")

        if taught is None:
            return cls(run, schema, encoder, learner(stage.name, stage.name), first=sizes(encoder))
        told = report.extra["transfer"]["tuned"]
        tuned = {name: told[name] for name in ("beta", "alpha")}
        mine, teacher = learner(taught.name, stage.name), learner(TEACHER, TEACHER)
        return cls(run, schema, encoder, mine, first=sizes(encoder), teacher=teacher, tuned=tuned)
