"""Attention over experts and towers made from the scenario (Zhang et al., WSDM 2022).

Meta units turn the scenario's embedding into weights; attention runs over the experts of a row, never over rows.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="m2m",
        family="multi-scenario",
        paper="Zhang et al., WSDM 2022",
        summary="attention and towers whose weights the scenario makes",
        needs="nothing beyond the schema",
        model="m2m",
    )
)
