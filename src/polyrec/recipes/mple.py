"""PLE over scenario x task (Tang et al., RecSys 2020).

Each scenario and task has experts, a gate and a tower of its own beside shared experts; one level.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="mple",
        family="multi-scenario",
        paper="Tang et al., RecSys 2020",
        summary="shared experts, beside experts of each scenario and task",
        needs="nothing beyond the schema",
        model="mple",
    )
)
