"""Entire-space multi-task modelling via post-click behaviour decomposition (Wen et al., SIGIR 2020).

Between click and conversion lies an action (cart, wish list): p(buy | click) is split by whether it happened.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="esm2",
        family="entire space",
        paper="Wen et al., SIGIR 2020",
        summary="as esmm, with the conversion split by the action between",
        needs="a task with via",
        model="mmoe",
        objective="entire_space",
        objective_options={"action": True, "unclicked": False},
        via=True,
    )
)
