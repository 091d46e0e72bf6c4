"""Three mixtures of experts, fused on two levels (Zhang et al., SIGIR 2024).

Common experts, one of each scenario and one of each task; how much own, others and each mixture count is learned.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="m3oe",
        family="multi-scenario",
        paper="Zhang et al., SIGIR 2024",
        summary="common, scenario and task experts, fused by learned weights",
        needs="nothing beyond the schema",
        model="m3oe",
    )
)
