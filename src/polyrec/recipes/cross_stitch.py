"""A network for each task, whose layers are mixed with those of the others (Misra et al., CVPR 2016).

How much each takes from each is learned, layer by layer.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="cross_stitch",
        family="sharing",
        paper="Misra et al., CVPR 2016",
        summary="a network per task, every layer a learned mixture of all of them",
        needs="two tasks",
        model="cross_stitch",
    )
)
