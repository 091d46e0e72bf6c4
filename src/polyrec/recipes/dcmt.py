"""Direct counterfactual multi-task learning (Zhu et al., ICDE 2023).

The factual tower learns from clicked rows, its counterfactual twin from the others with the label turned round, both
by inverse propensity; a soft constraint keeps their sum at one.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="dcmt",
        family="entire space",
        paper="Zhu et al., ICDE 2023",
        summary="a factual and a counterfactual tower that must agree",
        needs="a task with a parent",
        model="mmoe",
        objective="dcmt",
    )
)
