"""Entire-space counterfactual multi-task model, doubly robust (Wang et al., SIGIR 2022).

An imputed error on every row, corrected by the inverse-propensity error where the click happened: right when either
the propensity or the imputation is.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="escm2-dr",
        family="entire space",
        paper="Wang et al., SIGIR 2022",
        summary="as escm2-ipw, its error imputed on every row: doubly robust",
        needs="a task with a parent",
        model="mmoe",
        objective="escm2",
        objective_options={"risk": "dr"},
    )
)
