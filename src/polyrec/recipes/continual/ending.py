"""Which stage of a finished fit goes on, and whether a teacher goes on beside it."""

from polyrec.config import RunConfig
from polyrec.errors import ConfigError
from polyrec.evaluation.report import Report
from polyrec.recipes.assemble import plan_of
from polyrec.recipes.continual.learner import TRANSFER
from polyrec.recipes.transferring import TEACHER
from polyrec.training.plan import Stage


def kept_by(run: RunConfig, report: Report) -> Stage:
    """The stage whose weights the fit kept.

    Raises:
        ConfigError: one that an adversary trained, or the bundle of another run.
    """
    plan = plan_of(run)
    stage = plan.stage(str(report.extra.get("transfer", {}).get("kept", plan.stages[-1].name)))
    if stage.data == "adversarial":
        raise ConfigError(
            f"recipe {run.recipe!r} learns with an adversary, which update does not go on with. "
            "Fit again with the new rows."
        )
    if stage.name == TEACHER and "teacher" in run.transfer:
        raise ConfigError(f"recipe {run.recipe!r} kept its teacher as it is, {_given(run)}")
    return stage


def taught_by(run: RunConfig, stage: Stage) -> Stage | None:
    """The stage of the transfer that a kept stage is, or began from: its teacher goes on too. None: it has none.

    Raises:
        ConfigError: the teacher is the bundle of another run.
    """
    plan = plan_of(run)
    found = stage if stage.data == TRANSFER else next((one for one in plan.stages if one.name == stage.start), None)
    if found is None or found.data != TRANSFER:
        return None
    if "teacher" in run.transfer:
        raise ConfigError(f"recipe {run.recipe!r} was taught by {_given(run)}")
    return plan.stage(found.name)


def _given(run: RunConfig) -> str:
    return (
        f"the bundle {run.transfer['teacher']}, which update cannot train: it has no optimizer's state. "
        "Fit with a teacher of its own ([transfer] without teacher), then go on."
    )
