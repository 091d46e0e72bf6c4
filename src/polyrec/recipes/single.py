"""One network per scenario, nothing shared (no paper: the usual practice).

The honest lower bound of sharing: every scenario has its own tables, network and towers, so a starved scenario
learns from its own rows alone. What another recipe gains over this one is what sharing is worth.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="single",
        family="sharing",
        paper="no paper: the usual practice",
        summary="one network per scenario, nothing shared",
        needs="a scenario with enough rows of its own; an unknown scenario gets the mean of all networks",
        model="single",
    )
)
