"""Neurons pruned and scaled by scenario (Yang et al., CIKM 2022).

A pruner beside each layer reads the scenario and the layer's inputs; factors below a threshold are 0.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="adasparse",
        family="multi-scenario",
        paper="Yang et al., CIKM 2022",
        summary="a shared network whose neurons are pruned and scaled by scenario",
        needs="nothing beyond the schema",
        model="adasparse",
    )
)
