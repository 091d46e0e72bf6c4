"""Tables for each task beside shared ones, read by all and taught by their own task (Su et al., AAAI 2024).

A gate reads every task's experts; gradients go to the task's own and to the shared ones.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="stem",
        family="sharing",
        paper="Su et al., AAAI 2024",
        summary="tables and experts per task beside shared ones, read by all, taught by their own task",
        needs="two tasks",
        model="stem",
    )
)
