"""Embeddings gated by scenario, layers gated by user and item (Chang et al., KDD 2023).

Parameter and embedding personalised network: one gate rescales embeddings by the scenario, another every layer
of every task by who the user and the item are.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="pepnet",
        family="multi-scenario",
        paper="Chang et al., KDD 2023",
        summary="embeddings gated by scenario, layers gated by user and item",
        needs="user or item features, for its layer gates",
        model="pepnet",
    )
)
