"""Products of two, three and more whole embeddings beside a network (Lian et al., KDD 2018).

The compressed interaction network keeps a few mixtures of products a layer; the scenario is one of the features.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="xdeepfm",
        family="sharing",
        paper="Lian et al., KDD 2018",
        summary="products of two, three and more embeddings, beside a network",
        needs="nothing beyond the schema",
        model="xdeepfm",
    )
)
