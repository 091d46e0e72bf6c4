"""The short way of plain values gives what the way through Arrow gives."""

import pyarrow as pa
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polyrec.data.encode import Encoder
from polyrec.data.numbers import Tally
from polyrec.data.values import Values
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import DataError
from polyrec.schema import Feature, Keys, Schema, Task


def encoder() -> Encoder:
    features = (
        Feature("item", "categorical", "item"),
        Feature("city", "categorical"),
        Feature("brand", "categorical", hash=7),
        Feature("price", "numeric", transform="log"),
        Feature("age", "numeric", transform="quantile"),
        Feature("seen", "sequence", shares="item", max_length=3),
        Feature("taste", "vector", size=2),
    )
    schema = Schema(Keys("tab"), features, (Task("click", "click"),), ("feed", "home"), "shared")
    tallies = {"price": Tally("log"), "age": Tally("quantile")}
    for one, values in (("price", [1.0, 5.0, 2.5]), ("age", [20.0, float("nan"), 60.0, 33.0])):
        tallies[one].add(torch.tensor(values, dtype=torch.float64).numpy(), 0)
    values = {
        "item": Values("text", pa.array(["a", "b", "", "ü"], pa.large_string())),
        "city": Values("integer", torch.tensor([5, -3, 2**62]).numpy()),
        "brand": Values("text", pa.array([], pa.large_string()), 7),
    }
    numbers = {name: one.fitted() for name, one in tallies.items()}
    return Encoder(schema, Vocabulary(("feed", "home"), values, numbers, 4))


ENCODER = encoder()
texts = st.none() | st.sampled_from(["a", "b", "", "ü", "unseen", "a\0"]) | st.text(max_size=3)
whole = st.none() | st.sampled_from([5, -3, 0, 2**62, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
small = st.none() | st.integers(-(2**40), 2**40) | st.floats(width=32)
row = st.fixed_dictionaries(
    {
        "tab": st.sampled_from(["home", "feed", "other", None]),
        "item": texts,
        "city": whole,
        "brand": texts,
        "price": small,
        "age": small,
        "seen": st.none() | st.lists(texts, max_size=5),
        "taste": st.none() | st.lists(st.floats(width=32), min_size=2, max_size=2),
    }
)
odd = st.sampled_from([True, 1.5, 3.0, 2**70, "7", "\ud800", [1], ["a"], {}, b"a"])


def both(columns):
    """What each way gives: a batch, or the words of its refusal."""
    found = []
    for way in (
        lambda: ENCODER.encode_columns(columns),
        lambda: ENCODER.encode(pa.table({name: pa.array(one) for name, one in columns.items()}), labels=False),
    ):
        try:
            found.append(way())
        except (DataError, ValueError, TypeError, OverflowError) as reason:
            found.append(reason)
    return found


def same(one, other):
    assert torch.equal(one.ids, other.ids)
    assert torch.equal(one.numerics, other.numerics)
    assert torch.equal(one.scenario, other.scenario)
    assert torch.equal(one.sequences["seen"].values, other.sequences["seen"].values)
    assert torch.equal(one.sequences["seen"].offsets, other.sequences["seen"].offsets)
    assert torch.equal(one.vectors["taste"], other.vectors["taste"])


@settings(deadline=None)
@given(st.lists(row, max_size=6))
@example([])
def test_values_of_their_columns_kind_encode_alike(rows):
    columns = {name: [one[name] for one in rows] for name in ("tab", *ENCODER.columns(labels=False)[:-1])}
    same(*both(columns))


@settings(deadline=None)
@given(st.lists(row, min_size=1, max_size=4), st.data())
def test_an_odd_value_is_refused_by_both_ways_or_by_none(rows, data):
    columns = {name: [one[name] for one in rows] for name in ("tab", *ENCODER.columns(labels=False)[:-1])}
    columns[data.draw(st.sampled_from(list(columns)))][0] = data.draw(odd)
    one, other = both(columns)
    if isinstance(other, Exception):
        assert isinstance(one, DataError)
    else:
        same(one, other)
