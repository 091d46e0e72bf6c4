from hypothesis import given
from hypothesis import strategies as st

from polyrec.training.seed import derive


def test_a_seed_is_the_same_on_every_machine():
    assert derive(0, "mask", 1) == 2414910065280141811


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_seed_fits_a_torch_generator(first, second):
    assert 0 <= derive(first, second) < 2**63
