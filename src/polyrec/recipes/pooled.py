"""One network for all rows, the scenario as a feature (no paper: the usual practice).

The baseline that is hardest to beat and most often left untuned: one network reads every row, and the scenario
is one more embedding. What a multi-scenario model gains over this one is what its structure is worth.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="pooled",
        family="sharing",
        paper="no paper: the usual practice",
        summary="one network for all rows, the scenario as a feature",
        needs="nothing beyond the schema",
        model="pooled",
    )
)
