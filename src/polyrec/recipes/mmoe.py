"""Shared experts, a softmax gate and a tower per task (Ma et al., KDD 2018).

Multi-gate mixture of experts: the experts see every row; each task mixes them with its own gate.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="mmoe",
        family="sharing",
        paper="Ma et al., KDD 2018",
        summary="shared experts, a softmax gate and a tower per task",
        needs="nothing beyond the schema",
        model="mmoe",
    )
)
