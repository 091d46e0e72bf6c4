from dataclasses import fields

import pytest

from polyrec.models import build, entry, names
from polyrec.testing import CHECKS, Subject


def common(name):
    """Options that every model has, and dropout where it has that."""
    options = {"numeric": "piecewise", "tables": "dense"}
    return options | ({"dropout": 0.1} if "dropout" in {one.name for one in fields(entry(name).config)} else {})


VARIANTS = [(name, common(name)) for name in names()] + [
    ("shared_bottom", {"towers": "task", "tower_widths": ()}),
    ("mmoe", {"towers": "task", "experts": 2}),
    ("ple", {"towers": "task", "levels": 2, "head_experts": 2}),
    ("ple", {"levels": 3, "expert_widths": (16,)}),
    ("single", {"widths": ()}),
    ("star", {"widths": (), "aux_widths": ()}),
    ("pepnet", {"widths": (), "prior": ("user", "brand", "scenario")}),
    ("mple", {"own_experts": 2, "tower_widths": ()}),
    ("sarnet", {"own_experts": 2, "expert_widths": (16,)}),
    ("adasparse", {"widths": (16,), "epsilon": 0.0}),
    ("m2m", {"tower_layers": 2, "experts": 2}),
    ("hmoe", {"experts": 2, "expert_widths": (16,), "tower_widths": ()}),
    ("hinet", {"own_experts": 3, "task_own_experts": 2, "expert_widths": (16,), "tower_widths": ()}),
    ("aesm2", {"layers": 2, "task_layers": 2, "own_experts": 1, "tower_widths": ()}),
    ("m3oe", {"expert_widths": (16, 8), "tower_widths": ()}),
    ("satrans", {"layers": 1, "attention_heads": 1, "tower_widths": ()}),
    ("widedeep", {"widths": (), "crosses": ()}),
    ("deepfm", {"widths": (), "tower_widths": (), "dim": 5}),
    ("xdeepfm", {"widths": (), "maps": (3, 3, 3)}),
    ("dcn", {"structure": "stacked", "rank": 4}),
    ("cross_stitch", {"tower_widths": (16,), "own": 0.5}),
    ("advloss", {"adversary": 0.0, "difference": 0.0}),
    ("stem", {"own_experts": 2, "shared_experts": 2, "expert_widths": (16,)}),
]


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=[f"{one[0]}-{'-'.join(one[1])}" for one in VARIANTS])
@pytest.mark.parametrize(
    "rule",
    ["one_logit_per_row_and_head", "same_score_in_any_company_and_order", "every_parameter_learns"],
)
def test_models_keep_the_contract_with_other_options(name, options, rule):
    CHECKS[rule](Subject(name, lambda layout, heads: build(name, layout, heads, options)))


@pytest.mark.parametrize("name", ["pooled", "aem2tl", "autoifs", "widedeep", "two_tower"])
def test_piecewise_numbers_export_too(name):
    CHECKS["exports_with_dynamic_rows"](
        Subject(name, lambda layout, heads: build(name, layout, heads, {"numeric": "piecewise", "dim": 4}))
    )
