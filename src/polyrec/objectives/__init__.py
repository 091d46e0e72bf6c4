"""Objectives: a model's answer and a batch in, named terms of the loss out. Importing them registers them."""

from polyrec.objectives import (
    adversarial,
    balance,
    contrastive,
    counterfactual,
    distill,
    entire_space,
    expectation,
    pointwise,
    softmax,
    start,
)
from polyrec.objectives.balance import Balancer
from polyrec.objectives.objective import Objective, Predictions, Terms, build, names, parsed

__all__ = [
    "Balancer",
    "Objective",
    "Predictions",
    "Terms",
    "adversarial",
    "balance",
    "build",
    "contrastive",
    "counterfactual",
    "distill",
    "entire_space",
    "expectation",
    "names",
    "parsed",
    "pointwise",
    "softmax",
    "start",
]
