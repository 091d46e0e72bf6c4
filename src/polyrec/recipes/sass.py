"""Scenario-adaptive and self-supervised matching (SASS; Zhang et al., CIKM 2022), whole and in parts.

Network: two towers, in each a global network, one of every scenario, and between them at every layer an adaptive gate
and an update gate (ML-SAT).
Stage 1: the same user, and the same item, in another scenario is a second view of it; InfoNCE over labelled and
unlabelled rows.
Stage 2: in-batch softmax within the scenario on labelled positives, from stage 1's weights; nothing is frozen.
`sass-base` has no stage 1; `sass-joint`, ours, keeps the contrast on in stage 2. The five others leave one part out
each. Formulas and budgets are our reconstruction.
"""

from dataclasses import replace
from typing import Any

from polyrec.recipes.recipe import Recipe, StageOptions, add
from polyrec.recipes.twotower import TRAINING, TUNE
from polyrec.training.plan import PREVIOUS

PRETRAIN = StageOptions(
    "pretrain",
    data="pairs",
    objective="contrastive",
    training={"epochs": 3, "batch_size": 1024, "mask_ids": 0.0},
    keep="last",
)
BOTH = (PRETRAIN, replace(TUNE, start=PREVIOUS))

BASE = add(
    Recipe(
        name="sass-base",
        family="seed",
        paper="Zhang et al., CIKM 2022",
        summary="scenario-adaptive towers, no pre-training",
        needs="keys and features of users and items",
        model="sass",
        objective="in_batch_softmax",
        training=TRAINING,
        stages=(TUNE,),
    )
)
RECIPE = add(
    replace(
        BASE,
        name="sass",
        summary="scenario-adaptive towers, pre-trained by contrast across scenarios",
        needs="keys and features of users and items; users or items that several scenarios have in common",
        stages=BOTH,
    )
)
JOINT = add(
    replace(
        RECIPE,
        name="sass-joint",
        paper="after Zhang et al., CIKM 2022",
        summary="sass with its contrast kept on while labels are learned",
        objective="contrasted_softmax",
        stages=(PRETRAIN, replace(TUNE, data="positives and pairs", start=PREVIOUS)),
    )
)
_PARTS: dict[str, tuple[str, dict[str, Any]]] = {
    "sass-no-adaptive-gate": ("all of the global network taken", {"model_options": {"adaptive": False}}),
    "sass-no-update-gate": ("the candidate in place of the scenario's state", {"model_options": {"update": False}}),
    "sass-top-gate": ("transfer at the last layer alone", {"model_options": {"gates": "top"}}),
    "sass-user-side": ("a plain item tower", {"model_options": {"towers": "user"}}),
    "sass-labelled-only": (
        "pre-trained on labelled rows alone",
        {"stages": (replace(PRETRAIN, data="labelled pairs"), BOTH[1])},
    ),
}
ABLATIONS = tuple(
    add(replace(RECIPE, name=name, summary=f"sass without one part: {words}", **changed))
    for name, (words, changed) in _PARTS.items()
)
