"""A teacher that was trained before, from its bundle."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from polyrec.artifact import Bundle
from polyrec.artifact.bundle import describe
from polyrec.artifact.manifest import Manifest
from polyrec.batch import Layout
from polyrec.data.files import Source
from polyrec.data.where import Between
from polyrec.errors import ConfigError
from polyrec.objectives import balance
from polyrec.recipes.assemble import Assembly
from polyrec.recipes.outcome import bounds, described, golden, period_of
from polyrec.recipes.prepare import Prepared
from polyrec.training import Evaluation, History, Parts
from polyrec.training.run import Result
from polyrec.training.spread import Batches


def taught(folder: str, prepared: Prepared, loader: Batches) -> Result:
    """The teacher of a bundle as what a stage would have left.

    Raises:
        ConfigError: it encodes rows otherwise, or learned from rows of the time that it would be judged on.
        BundleError: no bundle, or a damaged one.
    """
    bundle = Bundle.load(folder)
    if bundle.encoder.layout != prepared.encoder.layout:
        differing = _differing(bundle.encoder.layout, prepared.encoder.layout)
        raise ConfigError(
            f"[transfer] teacher: {folder} encodes rows otherwise than this run ({differing}). "
            "Start the run in a new folder, where it takes the teacher's vocabulary, with the teacher's schema."
        )
    _refuse_later(folder, bundle, prepared)
    balancer = balance.build("fixed", bundle.objective.terms)
    parts = Parts(bundle.model, bundle.objective, balancer, loader, lambda: Evaluation(None, {}))
    return Result(parts, History(0, 0, 0.0, 0, None, False))


def as_given(folder: str, assembly: Assembly, teacher: Result) -> Assembly:
    """The assembly of a given teacher: its weights, and the words of its own bundle."""
    told, parts = Manifest.read(Path(folder), check=False), teacher.parts
    return replace(
        assembly, model=parts.model, objective=parts.objective, model_part=told.model, objective_part=told.objective
    )


def told_by(folder: str) -> dict[str, Any]:
    """What the teacher of a bundle was trained on, by its manifest."""
    return dict(Manifest.read(Path(folder), check=False).trained_on)


def held_by(folder: str, target: str) -> float:
    """Share of the target's users whose training rows the teacher of a bundle was not shown."""
    told: dict[str, Any] = Manifest.read(Path(folder)).trained_on.get("held") or {}
    return float(told.get("share", 0.0)) if told.get("scenario") == target else 0.0


def spared_by(folder: str, target: str) -> bool:
    """Whether the teacher of a bundle stopped without those validation rows of the target that judge endings."""
    told: dict[str, Any] = Manifest.read(Path(folder)).trained_on.get("spared") or {}
    return bool(told.get("scenario") == target)


def keep_teacher(folder: Path, assembly: Assembly, prepared: Prepared, told: dict[str, Any]) -> None:
    """Leave the trained teacher as a bundle, which other runs can be given.

    Args:
        folder: of the bundle.
        assembly: of the teacher.
        prepared: its rows.
        told: what it was not shown, for the manifest.
    """
    manifest = describe(
        assembly.recipe.name, assembly.model_part, assembly.objective_part, prepared.schema, assembly.model
    )
    told = {**described(prepared), **period_of(prepared), "seed": assembly.training.seed, **told}
    model, objective = assembly.model.eval(), assembly.objective.eval()
    bundle = Bundle(replace(manifest, trained_on=told), prepared.schema, prepared.encoder, model, objective)
    bundle.save(folder, golden(prepared.splits.valid, prepared))


def _differing(one: Layout, other: Layout) -> str:
    names = ("scenarios", "tasks", "categorical", "numeric", "sequences", "vectors")
    return ", ".join(name for name in names if getattr(one, name) != getattr(other, name))


def _refuse_later(folder: str, bundle: Bundle, prepared: Prepared) -> None:
    told, column = bundle.manifest.trained_on, prepared.schema.keys.time
    if column is None:
        return
    period: dict[str, Any] = told.get("period") or {}
    if period.get("column") != column or "adapted" in told:
        raise ConfigError(
            f"[transfer] teacher: {folder} does not say up to which {column} it learned, so it may have seen what it "
            "would be judged on. Give a teacher that `fit` or `update` left, with this run's time column in its schema."
        )
    last = period["to"]
    for name, source in (("validation", prepared.splits.valid), ("test", prepared.splits.test)):
        if source is not None and _begins(source, column, last):
            raise ConfigError(
                f"[transfer] teacher: {folder} learned from rows up to {column} = {last}, and {name} rows lie no "
                "later: it may have seen what it would be judged on. Give a teacher of an earlier period."
            )


def _begins(source: Source, column: str, moment: Any) -> bool:
    """Whether a row of these is no later than a moment."""
    earlier, known = Between(column, None, moment), bounds(source, column)
    at = known is not None and known[0] == moment
    return at or any(bool(earlier.mask(table, 0).any()) for table in source.tables([column]))


def vocabulary_of(transfer: dict[str, Any]) -> Path | None:
    """Where the given teacher has its vocabulary."""
    teacher = transfer.get("teacher")
    return Path(teacher) / "vocabulary" if isinstance(teacher, str) else None
