"""Features attend to one another, adapted by scenario (Min et al., KDD 2023).

Self-attention over features; the scenario makes the network that queries and keys pass through.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="satrans",
        family="multi-scenario",
        paper="Min et al., KDD 2023",
        summary="self-attention over features, its queries and keys changed by scenario",
        needs="nothing beyond the schema",
        model="satrans",
    )
)
