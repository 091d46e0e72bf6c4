"""Plans of stages, and the loop that runs one."""

from polyrec.training.loop import Evaluation, History, train
from polyrec.training.plan import Plan, Stage

__all__ = ["Evaluation", "History", "Plan", "Stage", "train"]
