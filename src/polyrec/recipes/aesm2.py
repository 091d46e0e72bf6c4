"""Experts that gates select by scenario, then by task (Zou et al., SIGIR 2022).

Those that one gate alone claims, and those that all claim alike; two penalties make experts take sides.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="aesm2",
        family="multi-scenario",
        paper="Zou et al., SIGIR 2022",
        summary="experts selected by scenario, then by task, as own or as common",
        needs="nothing beyond the schema",
        model="aesm2",
    )
)
