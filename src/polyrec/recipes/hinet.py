"""Scenario extraction with attention over the other scenarios, then task extraction (Zhou et al., ICDE 2023).

Shared, own and other scenarios' experts side by side; on them, experts of all tasks and of each.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="hinet",
        family="multi-scenario",
        paper="Zhou et al., ICDE 2023",
        summary="shared, own and other scenarios' experts, then experts of tasks",
        needs="nothing beyond the schema",
        model="hinet",
    )
)
