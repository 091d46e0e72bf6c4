"""One bottom for all rows, a tower per scenario and task (Caruana, Machine Learning 28, 1997).

Hard parameter sharing: a common bottom, and a tower of its own for each scenario x task.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="shared_bottom",
        family="sharing",
        paper="Caruana, Machine Learning 28, 1997",
        summary="one bottom for all rows, a tower per scenario and task",
        needs="nothing beyond the schema",
        model="shared_bottom",
    )
)
