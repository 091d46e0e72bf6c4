"""What is known of a step is passed on to the next one in the funnel (Xi et al., KDD 2021).

Adaptive information transfer multi-task: a tower for each task, an attention unit between a task and its parent, every
task learned over all impressions, and a price on expecting more conversions than clicks.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="aitm",
        family="sharing",
        paper="Xi et al., KDD 2021",
        summary="a tower per task, and the parent's state passed on along the funnel",
        needs="a task with a parent",
        model="aitm",
        objective="expectation",
    )
)
