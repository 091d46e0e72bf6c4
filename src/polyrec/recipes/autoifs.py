"""Automated information flow selection (AutoIFS; Yang et al., WSDM 2026), and its controls.

Network: four units, shared and low-rank own ones of scenario and task, make four flows; a selector prunes them.
Stage 1, search: all weights and the selector together, gates soft and ever sharper.
Stage 2, retrain: back to the weights at the start of the search, gates hard and frozen as it left them. (The letter
goes back to the start of its last epoch: networks that have seen every row once already then learn them by heart.)
`autoifs` selects by scenario and head, and fuses what each flow adds; `autoifs-paper` is the letter of the paper;
`autoifs-select` fuses the kept flows alone. Two controls: no selection, and gates that nobody trained.
"""

from dataclasses import replace

from polyrec.recipes.recipe import Recipe, StageOptions, add
from polyrec.training.plan import Carry

MOVING = ("inputs.*", "bottom.*", "scenario.*", "task.*", "bias")  # everything but the selector
SELECTOR = Carry("search", of="selector.", to="selector.")
# What a selector that reads rows was found with; one by scenario reads nothing.
EMBEDDING = Carry("search", of="inputs.", to="selector.inputs.", optional=True)

SEARCH = StageOptions(
    "search",
    {"epochs": 4, "evaluations": 1, "lr_ratios": {"selector.*": 50.0}, "no_decay": ("selector.*",)},
    {"gates": "soft"},
    keep="last",
)
RETRAIN = StageOptions(
    "retrain", {}, {"gates": "hard"}, trainable=MOVING, start="search@0", carry=(SELECTOR, EMBEDDING)
)
RECIPE = add(
    Recipe(
        name="autoifs",
        family="seed",
        paper="Yang et al., WSDM 2026",
        summary="flows through shared and low-rank own units, the useless ones pruned by data",
        needs="two scenarios or two tasks",
        model="autoifs",
        # Shared units that read the scenario can carry what is its own: then no flow can be told to be useless.
        model_options={
            "selector": "cell",
            "fusion": "increment",
            "anneal": "step",
            "scenario_feature": False,
            "price": 3e-4,
            "wait": 0.5,  # gates that move before own units have learned anything prune them for good
        },
        stages=(SEARCH, RETRAIN),
    )
)
LETTER = {"epochs": 10, "lr": 3e-4, "weight_decay": 3e-5, "table_decay": 3e-5, "lr_ratios": {"selector.*": 0.01}}
PAPER = add(
    replace(
        RECIPE,
        name="autoifs-paper",
        summary="the letter of the paper: MLP 1024-512-256, rank 2, a selector that reads rows, Adam on everything",
        model_options={
            "widths": (1024, 512),
            "scenario_widths": (256,),
            "rank": 2,
            "fusion": "subtract",
            "selector": "row",
            "selector_widths": (1024, 512),
        },
        training={"batch_size": 4096, "tables": "dense", "evaluations": 1},
        stages=(
            replace(SEARCH, training={**LETTER, "no_decay": ("selector.*",)}),
            replace(
                RETRAIN,
                training={"epochs": 20, "lr": 1e-4, "weight_decay": 3e-4, "table_decay": 3e-4, "patience": 1},
                trainable=MOVING[:-1],
                start="search@-1",
            ),
        ),
    )
)
SELECT = add(
    replace(
        RECIPE,
        name="autoifs-select",
        summary="autoifs with the kept flows alone fused, each through its own two units",
        model_options={**RECIPE.model_options, "fusion": "select"},
    )
)
NOSELECT = add(
    replace(
        RECIPE,
        name="autoifs-noselect",
        summary="autoifs without selection: every flow kept",
        stages=(StageOptions("train", {}, {"gates": "open"}),),
    )
)
RANDOM = add(
    replace(
        RECIPE,
        name="autoifs-randomgates",
        summary="autoifs whose gates stay at their random start",
        stages=(replace(SEARCH, trainable=MOVING), RETRAIN),
    )
)
