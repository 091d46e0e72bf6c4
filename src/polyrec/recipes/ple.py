"""Shared and task-own experts, extracted level by level (Tang et al., RecSys 2020).

Progressive layered extraction: experts of their own shield a task from the others, shared ones carry what is common.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="ple",
        family="sharing",
        paper="Tang et al., RecSys 2020",
        summary="shared and task-own experts, extracted level by level",
        needs="nothing beyond the schema",
        model="ple",
    )
)
