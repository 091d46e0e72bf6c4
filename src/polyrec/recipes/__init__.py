"""One file a recipe: model + objective + balancer + training, readable as the paper's summary."""

from polyrec.recipes import mmoe, pepnet, ple, pooled, shared_bottom, single, star
from polyrec.recipes.recipe import Recipe, add, get, names

__all__ = [
    "Recipe",
    "add",
    "get",
    "mmoe",
    "names",
    "pepnet",
    "ple",
    "pooled",
    "shared_bottom",
    "single",
    "star",
]
