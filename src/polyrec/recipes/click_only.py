"""Conversion learned where its parent happened (no paper: the usual practice).

The biased baseline of every entire-space method: p(buy | click) sees clicked rows only, and is then multiplied with
p(click) over rows it never saw.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="click_only",
        family="entire space",
        paper="no paper: the usual practice",
        summary="conversion learned on clicked rows alone",
        needs="a task with a parent",
        model="mmoe",
        objective="pointwise",
        objective_options={"unclicked": False},
    )
)
