"""Scale and shift by scenario, then shared and own debias experts (Shen et al., CIKM 2021).

The scenario transforms the inputs element by element; its gates mix experts of all and of its own.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="sarnet",
        family="multi-scenario",
        paper="Shen et al., CIKM 2021",
        summary="inputs scaled and shifted by scenario, shared and own experts",
        needs="nothing beyond the schema",
        model="sarnet",
    )
)
