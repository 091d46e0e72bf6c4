"""Plans of stages, and the loop that runs one."""

from polyrec.training.history import Evaluation, History
from polyrec.training.interrupt import Interrupted
from polyrec.training.loop import train
from polyrec.training.pace import Paced
from polyrec.training.plan import Carry, Plan, Stage
from polyrec.training.run import Parts, Result, run

__all__ = [
    "Carry",
    "Evaluation",
    "History",
    "Interrupted",
    "Paced",
    "Parts",
    "Plan",
    "Result",
    "Stage",
    "run",
    "train",
]
