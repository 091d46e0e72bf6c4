"""Runs a plan, stage after stage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from polyrec.errors import ConfigError
from polyrec.objectives import Balancer, Objective
from polyrec.shapes import Tensor
from polyrec.training.history import Evaluation, History
from polyrec.training.loop import train
from polyrec.training.plan import Plan, Point, Stage, begin_from
from polyrec.training.progress import Log
from polyrec.training.spread import Batches


@dataclass(frozen=True, slots=True)
class Parts:
    """What a stage trains, on which rows, and how it is judged."""

    model: nn.Module
    objective: Objective
    balancer: Balancer
    loader: Batches
    evaluate: Callable[[], Evaluation]


@dataclass(frozen=True, slots=True)
class Result:
    """What a stage left: its parts, with the weights that it kept, and how it went."""

    parts: Parts
    history: History

    def weights(self, part: str, epoch: int | None = None) -> dict[str, Tensor]:
        """The state of its `"model"` or `"objective"`: as it ended, or at the start of an epoch that was kept.

        Raises:
            KeyError: the epoch was not reached.
        """
        if epoch is None:
            return dict((self.parts.model if part == "model" else self.parts.objective.served).state_dict())
        start, kept = f"{part}/", self.history.snapshots[epoch]
        return {name[len(start) :]: one for name, one in kept.items() if name.startswith(start)}


Build = Callable[[Stage, Mapping[str, Result]], Parts]


def run(
    plan: Plan,
    build: Build,
    *,
    folder: Path | None = None,
    resume: bool = False,
    log: Log | None = None,
    given: Mapping[str, Result] | None = None,
) -> dict[str, Result]:
    """Train every stage of a plan; the last result is the plan's.

    Args:
        plan: the stages.
        build: makes a stage's parts; it sees the results of the stages before (a teacher, a found structure).
        folder: as for `train`; every stage has its own checkpoint in it.
        resume: stages that have ended are read back, and the one under way goes on.
        log: told of each validation.
        given: stages that are trained already; they are left out.

    Raises:
        ConfigError: a stage cannot start from the weights it names.
    """
    results: dict[str, Result] = dict(given or {})
    for stage in plan.stages:
        if stage.name in results:
            continue
        parts = build(stage, results)
        _begin(plan, stage, parts, results)
        history = train(
            stage,
            parts.model,
            parts.objective,
            parts.balancer,
            parts.loader,
            parts.evaluate,
            folder=folder,
            resume=resume,
            log=log,
            snapshots=plan.snapshots(stage),
        )
        results[stage.name] = Result(parts, history)
    return results


def _begin(plan: Plan, stage: Stage, parts: Parts, results: Mapping[str, Result]) -> None:
    """Weights of earlier stages into a stage's model and, where it goes on with its objective, into that."""

    def taken(point: Point, part: str) -> dict[str, Tensor]:
        if point.epoch is not None and point.epoch not in results[point.stage].history.snapshots:
            raise ConfigError(
                f"stage {stage.name!r} goes back to the start of epoch {point.epoch} of stage {point.stage!r}, which "
                "ended before it. Raise that stage's patience, or let it keep its last weights (keep = 'last')."
            )
        return results[point.stage].weights(part, point.epoch)

    start = plan.point(stage, stage.start)
    weights = dict(parts.model.state_dict()) if start is None else taken(start, "model")
    for one in stage.carry:
        point = plan.point(stage, one.source)
        found = one.renamed(taken(point, "model")) if point is not None else {}
        if one.optional:
            known = parts.model.state_dict()
            found = {name: part for name, part in found.items() if name in known}
        elif not found:
            raise ConfigError(
                f"stage {stage.name!r}: carry: nothing in {one.source!r} has a name that begins with {one.of!r}. "
                "Give the beginning of a parameter's name there."
            )
        weights |= found
    if start is not None or stage.carry:
        begin_from(stage, parts.model, weights)
    if start is not None and plan.stage(start.stage).objective == stage.objective:
        begin_from(stage, parts.objective.served, taken(start, "objective"))
