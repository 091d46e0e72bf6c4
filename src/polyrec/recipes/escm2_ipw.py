"""Entire-space counterfactual multi-task model, inverse propensity (Wang et al., SIGIR 2022).

A clicked row speaks for all rows like it: its loss is divided by the probability that it was clicked.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="escm2-ipw",
        family="entire space",
        paper="Wang et al., SIGIR 2022",
        summary="clicked rows weighed by one over their propensity",
        needs="a task with a parent",
        model="mmoe",
        objective="escm2",
        objective_options={"risk": "ipw"},
    )
)
