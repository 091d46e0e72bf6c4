import torch
from hypothesis import given
from hypothesis import strategies as st

from polyrec.nn.numeric import PiecewiseLinear


def test_the_line_goes_through_the_sums_of_its_bins():
    encode = PiecewiseLinear(1, 1, bins=4)
    with torch.no_grad():
        encode.weight.copy_(torch.tensor([1.0, 10.0, 100.0, 1000.0]).view(1, 1, 4, 1))
        encode.bias.fill_(5.0)
    y = encode(torch.tensor([[0.0], [0.125], [0.25], [0.5], [0.75], [1.0], [2.0], [-1.0]]))
    assert y.flatten().tolist() == [5.0, 5.5, 6.0, 16.0, 116.0, 1116.0, 1116.0, 5.0]


@given(x=st.lists(st.floats(-0.5, 1.5, width=32), min_size=0, max_size=8), copies=st.integers(1, 3))
def test_reading_a_copy_equals_computing_with_its_lines(x, copies):
    encode = PiecewiseLinear(2, 3, bins=5, copies=copies)
    numbers = torch.tensor(x).view(-1, 1).repeat(1, 2)
    copy = torch.arange(len(x)) % copies
    found = encode(numbers, copy)
    for place in range(copies):
        alone = PiecewiseLinear(2, 3, bins=5)
        alone.load_state_dict({"weight": encode.weight[[place]], "bias": encode.bias[[place]]})
        mine = copy == place
        torch.testing.assert_close(found[mine], alone(numbers[mine]), rtol=1e-4, atol=1e-5)
