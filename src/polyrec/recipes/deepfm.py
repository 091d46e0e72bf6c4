"""A factorisation machine beside a network on the same embeddings (Guo et al., IJCAI 2017).

Every two features are multiplied number by number; the scenario is one of them.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="deepfm",
        family="sharing",
        paper="Guo et al., IJCAI 2017",
        summary="products of every two features, beside a network",
        needs="nothing beyond the schema",
        model="deepfm",
    )
)
