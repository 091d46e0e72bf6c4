"""Every scenario's tower, mixed by the row's own scenario (Li et al., CIKM 2020).

Towers of scenarios over shared experts; a gate mixes the logits of all, and only the own one learns from a row.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="hmoe",
        family="multi-scenario",
        paper="Li et al., CIKM 2020",
        summary="every scenario's tower scores every row, mixed by a gate of its own scenario",
        needs="nothing beyond the schema",
        model="hmoe",
    )
)
