"""A shared network that an adversary keeps from knowing the scenario, beside private ones (Liu et al., ACL 2017).

Two penalties beside the tasks' terms: the adversary's loss, through a layer that turns its gradient round, and the
overlap of shared and private states.
"""

from polyrec.recipes.recipe import Recipe, add

RECIPE = add(
    Recipe(
        name="advloss",
        family="multi-scenario",
        paper="Liu et al., ACL 2017",
        summary="a shared network that hides the scenario from an adversary, beside private ones",
        needs="two scenarios",
        model="advloss",
    )
)
