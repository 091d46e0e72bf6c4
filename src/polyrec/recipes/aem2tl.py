"""Adaptive entire-space multi-scenario multi-task transfer learning (Yi et al., TKDE 2025), whole and in parts.

Network: shared and scenario experts side by side (scenario-CGC), task experts of each scenario on top (task-CGC),
towers whose layers are scaled by who the user and the item are (personalised gating).
Objective: every task over all impressions, its conversions traced through click, action and neither; conversions with
and without a click also learned from the rows that took either route, since the paper's three terms alone leave that
split open (measured). The split by the action is left to the whole.
Weights: GradNorm, so that tasks train at equal rates.
`aem2tl-paper` is the letter of the paper where it is known: its three terms, learning rate and batch, every parameter
by Adam, and a larger network (its sizes are our decision). The five others leave one part of `aem2tl` out each.
"""

from dataclasses import replace
from typing import Any

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="aem2tl",
        family="seed",
        paper="Yi et al., TKDE 2025",
        summary="scenario and task experts, personalised gates, entire space, adaptive weights",
        needs="a task with a parent; via and strict = false switch its routes on",
        model="aem2tl",
        objective="entire_space",
        balancer="gradnorm",
        balancer_options={"alpha": 0.5, "every": 4},
        objective_options={"action": True, "unclicked": True, "identify": True},
    )
)
PAPER = add(
    replace(
        RECIPE,
        name="aem2tl-paper",
        summary="the letter of the paper: its three terms, learning rate 2e-5, batch 1024, Adam on everything",
        model_options={
            "shared_experts": 3,
            "own_experts": 3,
            "task_expert_widths": (128, 64),
            "task_own_experts": 2,
            "tower_widths": (128, 64),
            "gate_width": 64,
        },
        objective_options={"action": True, "unclicked": True, "identify": False},
        balancer_options={"alpha": 0.5},
        training={"lr": 2e-5, "batch_size": 1024, "tables": "dense"},
    )
)
_PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "aem2tl-no-scenario-cgc": ("shared experts alone", {"model_options": {"scenario_cgc": False}}),
    "aem2tl-no-task-cgc": ("towers on the scenario mixture itself", {"model_options": {"task_cgc": False}}),
    "aem2tl-no-gating": ("no personalised gates", {"model_options": {"gating": False}}),
    "aem2tl-no-entire-space": (
        "conversion learned on clicked rows alone",
        {"objective": "pointwise", "objective_options": {"unclicked": False}},
    ),
    "aem2tl-fixed-weights": ("task weights of one", {"balancer": "fixed", "balancer_options": {}}),
}
ABLATIONS = tuple(
    add(replace(RECIPE, name=name, summary=f"aem2tl without one part: {words}", **changed))
    for name, (words, changed) in _PARTS.items()
)
