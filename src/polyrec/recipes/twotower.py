"""Two towers, the baselines of retrieval for several scenarios (Huang et al., CIKM 2013; Yi et al., RecSys 2019).

User and item each have a network; the vectors' inner product is trained by in-batch softmax within the scenario,
corrected for how often an item is drawn. `twotower-single` has tables and towers of its own for every scenario,
`twotower-mixed` one pair of towers that does not know the scenario, `twotower-feature` one that reads it as a feature,
and `twotower-finetune` trains the mixed one, gives every scenario a copy of it, and goes on with each on its own rows.
"""

from dataclasses import replace

from polyrec.recipes.recipe import Recipe, StageOptions, add
from polyrec.training.plan import PREVIOUS

TRAINING = {
    "batch_size": 512,
    "epochs": 6,
    "metric": "recall",
    "table_lr": 0.2,
    "lazy": True,  # batches are of one scenario each: a starved one's are rare
    "mask_ids": 0.3,  # positives are few: ids are learned by heart in an epoch or two without
}
TUNE = StageOptions("train", data="positives")
PAPER = "Huang et al., CIKM 2013; Yi et al., RecSys 2019"

MIXED = add(
    Recipe(
        name="twotower-mixed",
        family="retrieval",
        paper=PAPER,
        summary="one user and one item tower for all scenarios",
        needs="keys and features of users and items",
        model="two_tower",
        model_options={"scenario": "ignored"},
        objective="in_batch_softmax",
        training=TRAINING,
        stages=(TUNE,),
    )
)
FEATURE = add(
    replace(
        MIXED,
        name="twotower-feature",
        summary="one user and one item tower, the scenario a feature of both",
        model_options={"scenario": "feature"},
    )
)
SINGLE = add(
    Recipe(
        name="twotower-single",
        family="retrieval",
        paper=PAPER,
        summary="a user and an item tower for each scenario, nothing shared",
        needs="keys and features of users and items; a scenario with enough rows of its own",
        model="two_tower",
        model_options={"scenario": "own"},
        objective="in_batch_softmax",
        training=TRAINING,
        stages=(TUNE,),
    )
)
FINETUNE = add(
    Recipe(
        name="twotower-finetune",
        family="retrieval",
        paper=PAPER,
        summary="twotower-mixed, then a copy for each scenario trained on its own rows",
        needs="keys and features of users and items",
        model="two_tower",
        objective="in_batch_softmax",
        training=TRAINING,
        stages=(
            StageOptions("mixed", data="positives", model_options={"scenario": "ignored"}),
            StageOptions("tune", data="positives", model_options={"scenario": "own"}, start=PREVIOUS),
        ),
    )
)
