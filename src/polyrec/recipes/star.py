"""Shared weights times scenario weights, partitioned normalisation (Sheng et al., CIKM 2021).

Star topology: each scenario's network is the shared centre multiplied by its own factor; normalisation keeps
statistics per scenario, running ones when it scores, so that no row depends on its batch-mates.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="star",
        family="multi-scenario",
        paper="Sheng et al., CIKM 2021",
        summary="shared weights times scenario weights, partitioned normalisation",
        needs="nothing beyond the schema",
        model="star",
    )
)
