"""A world whose true probabilities are known: logs to learn from, and the truth to be judged by."""

from polyrec.data.simulate.files import Paths, describe, simulate, world_of
from polyrec.data.simulate.oracle import Best, Judgement, best_scores, judge, share_of_gain
from polyrec.data.simulate.presets import PRESETS, Preset
from polyrec.data.simulate.world import Rows, World

__all__ = [
    "PRESETS",
    "Best",
    "Judgement",
    "Paths",
    "Preset",
    "Rows",
    "World",
    "best_scores",
    "describe",
    "judge",
    "share_of_gain",
    "simulate",
    "world_of",
]
