"""Runs a plan, stage after stage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from polyrec.objectives import Balancer, Objective
from polyrec.training.loop import Batches, Evaluation, History, train
from polyrec.training.plan import Plan, Stage, begin_from
from polyrec.training.progress import Log


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
    """What a stage left: its parts, with the weights of the best validation, and how it went."""

    parts: Parts
    history: History


Build = Callable[[Stage, Mapping[str, Result]], Parts]


def run(
    plan: Plan, build: Build, *, folder: Path | None = None, resume: bool = False, log: Log | None = None
) -> dict[str, Result]:
    """Train every stage of a plan; the last result is the plan's.

    Args:
        plan: the stages.
        build: makes a stage's parts; it sees the results of the stages before (a teacher, a found structure).
        folder: as for `train`; every stage has its own checkpoint in it.
        resume: stages that have ended are read back, and the one under way goes on.
        log: told of each validation.

    Raises:
        ConfigError: a stage cannot start from the weights it names.
    """
    results: dict[str, Result] = {}
    for stage in plan.stages:
        parts = build(stage, results)
        start = plan.start(stage)
        if start is not None:
            begin_from(stage, parts.model, results[start].parts.model.state_dict())
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
        )
        results[stage.name] = Result(parts, history)
    return results
