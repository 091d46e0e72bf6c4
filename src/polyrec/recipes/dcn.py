"""Cross layers beside a network (DCN-v2: Wang et al., WWW 2021).

Each cross layer multiplies its rows by a full linear map of them; the scenario is one of the features.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="dcn",
        family="sharing",
        paper="Wang et al., WWW 2021",
        summary="cross layers that multiply features, beside a network (DCN-v2)",
        needs="nothing beyond the schema",
        model="dcn",
    )
)
