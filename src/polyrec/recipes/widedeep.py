"""A linear model that remembers single values and combinations, beside a network (Cheng et al., DLRS 2016).

The wide part has a weight for each value and for each combination of the scenario with a feature's value; the deep part
is `pooled`. `[model] crosses` names other combinations.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="widedeep",
        family="sharing",
        paper="Cheng et al., DLRS 2016",
        summary="a linear model of values and of scenario × value, beside a network",
        needs="nothing beyond the schema",
        model="widedeep",
    )
)
