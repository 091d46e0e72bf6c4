"""One file a recipe: model + objective + balancer + training, readable as the paper's summary."""

from polyrec.recipes import (
    aem2tl,
    click_only,
    dcmt,
    escm2_dr,
    escm2_ipw,
    esm2,
    esmm,
    mmoe,
    pepnet,
    ple,
    pooled,
    sass,
    shared_bottom,
    single,
    star,
    twotower,
)
from polyrec.recipes.recipe import Recipe, add, get, names

__all__ = [
    "Recipe",
    "add",
    "aem2tl",
    "click_only",
    "dcmt",
    "escm2_dr",
    "escm2_ipw",
    "esm2",
    "esmm",
    "get",
    "mmoe",
    "names",
    "pepnet",
    "ple",
    "pooled",
    "sass",
    "shared_bottom",
    "single",
    "star",
    "twotower",
]
