"""Packed rows: selection, spaces, and ids that must lie in their tables."""

import pytest
import torch

from polyrec.batch import Batch, Field, Jagged, Layout, Number
from polyrec.errors import DataError
from polyrec.schema import Target, Task

LAYOUT = Layout(
    scenarios=("home", "feed"),
    tasks=(Task("click", "c"), Task("cart", "a", after="click"), Task("buy", "b", after="cart")),
    categorical=(Field("item", 5), Field("user", 7)),
    numeric=(Number("price"),),
    sequences=(Field("seen", 5, table="item", max_length=3),),
)


def batch() -> Batch:
    labels = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0.0]])
    observed = torch.tensor([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    return Batch(
        layout=LAYOUT,
        ids=torch.tensor([[0, 1], [2, 3], [4, 5], [1, 6]], dtype=torch.int32),
        numerics=torch.arange(4.0)[:, None],
        scenario=torch.tensor([0, 1, -1, 0]),
        labels=labels,
        observed=observed,
        weight=torch.ones(4),
        user=torch.tensor([9, 8, 7, 9]),
        sequences={"seen": Jagged(torch.tensor([1, 2, 3, 4, 4]), torch.tensor([0, 2, 2, 5, 5]))},
    )


def test_a_space_holds_the_rows_on_which_every_parent_happened_and_the_label_was_seen() -> None:
    rows = batch()
    label, inside = rows.target(Target("click"))
    assert inside.tolist() == [True] * 4
    assert label.tolist() == [0, 1, 1, 1]
    assert rows.target(Target("cart", "click"))[1].tolist() == [False, True, True, True]
    assert rows.target(Target("buy", "cart"))[1].tolist() == [False, False, True, False]
    assert rows.target(Target("buy"))[1].tolist() == [True, True, True, False]


def test_select_takes_rows_in_the_order_asked_for_sequences_too() -> None:
    rows = batch().select(torch.tensor([2, 0, 2]))
    assert rows.ids.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert rows.sequences["seen"].values.tolist() == [3, 4, 4, 1, 2, 3, 4, 4]
    assert rows.sequences["seen"].offsets.tolist() == [0, 3, 5, 8]
    assert len(batch().select(torch.tensor([], dtype=torch.int64))) == 0


def test_padding_keeps_the_first_values_and_marks_which_exist() -> None:
    values, exists = batch().sequences["seen"].padded(2)
    assert values.tolist() == [[1, 2], [0, 0], [3, 4], [0, 0]]
    assert exists.tolist() == [[True, True], [False, False], [True, True], [False, False]]
    empty, none = Jagged(torch.zeros(0, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)).padded(2)
    assert empty.tolist() == [[0, 0], [0, 0]]
    assert not none.any()


def test_ids_outside_their_table_are_refused_by_name() -> None:
    batch().check()
    rows = batch()
    rows.ids[1, 1] = 7
    with pytest.raises(DataError, match="feature 'user' has id 7: its table has 7 rows"):
        rows.check()
    rows = batch()
    rows.sequences["seen"].values[0] = 5
    with pytest.raises(DataError, match="feature 'seen' has id 5"):
        rows.check()
    rows = batch()
    rows.scenario[0] = 2
    with pytest.raises(DataError, match=r"scenario index 2 has no scenario\. Known: home, feed"):
        rows.check()


def funnel_batch(strict):
    """Cart may happen without a click unless `strict`. Rows: all three; no click; a click alone; click unknown."""
    layout = Layout(
        ("home",),
        (Task("click", "c"), Task("cart", "a", after="click", strict=strict), Task("buy", "b", after="cart")),
    )
    labels = torch.tensor([[1.0, 1, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0]])
    observed = torch.tensor([[True, True, True], [True, True, True], [True, True, True], [False, True, True]])
    none = torch.zeros(4, dtype=torch.long)
    return Batch(layout, torch.zeros(4, 0), torch.zeros(4, 0), none, labels, observed, torch.ones(4), none)


def test_the_space_of_a_parent_asks_only_for_what_the_parent_cannot_happen_without():
    _, inside = funnel_batch(strict=True).target(Target("buy", "cart"))
    assert inside.tolist() == [True, False, False, False]
    _, inside = funnel_batch(strict=False).target(Target("buy", "cart"))
    assert inside.tolist() == [True, True, False, True]  # a cart without a click, or with one that is unknown


def test_through_says_what_happened_by_way_of_the_whole_funnel_and_where_that_is_known():
    happened, known = funnel_batch(strict=False).through("buy")
    assert happened.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert known.tolist() == [True, True, True, True]  # the last: nothing was bought, whatever the click was
    happened, known = funnel_batch(strict=False).through("cart")
    assert (happened.tolist(), known.tolist()) == ([1.0, 0.0, 0.0, 0.0], [True, True, True, False])
