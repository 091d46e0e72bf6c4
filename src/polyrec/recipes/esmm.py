"""Entire-space multi-task model (Ma et al., SIGIR 2018).

No loss on clicked rows alone: the click and the product are supervised over all impressions, and p(buy | click) is
what makes the product right.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="esmm",
        family="entire space",
        paper="Ma et al., SIGIR 2018",
        summary="p(click) and p(click) p(buy | click) learned over all impressions",
        needs="a task with a parent",
        model="mmoe",
        objective="entire_space",
        objective_options={"action": False, "unclicked": False},
    )
)
