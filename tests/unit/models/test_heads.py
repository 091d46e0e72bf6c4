import pytest
import torch

from polyrec.errors import ConfigError
from polyrec.models import build, names
from polyrec.models.heads import by_head, checked
from polyrec.testing import example_layout, random_batch


def test_each_head_gets_its_own_slice():
    stacked = torch.rand(2, 3)
    found = by_head(("a", "b"), stacked)
    assert torch.equal(found["a"], stacked[0])
    assert torch.equal(found["b"], stacked[1])


def test_a_head_named_twice_is_refused():
    with pytest.raises(ConfigError, match="'click' are named more than once"):
        checked(["click", "buy", "click"])


def test_no_heads_are_refused():
    with pytest.raises(ConfigError, match="at least one head"):
        checked([])


@pytest.mark.parametrize("model", names())
def test_heads_may_have_any_name_and_number(model):
    layout = example_layout()
    heads = ("click", "click*buy", "buy.imputed", "forward")
    logits = build(model, layout, heads)(random_batch(layout, 3)).logits
    assert tuple(logits) == heads


@pytest.mark.parametrize("model", names())
def test_options_out_of_bounds_are_refused_with_their_value(model):
    with pytest.raises(ConfigError, match=r"dim = 0.*greater than or equal to 1"):
        build(model, example_layout(), ("click",), {"dim": 0})
