import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyrec.nn.embedding import FusedEmbedding
from polyrec.nn.table import Table


def test_the_out_of_vocabulary_row_of_every_field_starts_at_zero_and_no_other():
    fields = FusedEmbedding([4, 3, 5], [2, 2, 2], copies=2)
    weight = fields.tables["2"].weight
    assert (weight == 0).all(1).nonzero()[:, 0].tolist() == [0, 4, 7, 12, 16, 19]


def test_fields_of_one_width_are_read_by_one_lookup_from_one_table():
    fields = FusedEmbedding([4, 3, 5], [2, 6, 2])
    assert {name: tuple(table.weight.shape) for name, table in fields.tables.items()} == {"2": (9, 2), "6": (3, 6)}
    ids = torch.tensor([[3, 2, 4], [0, 1, 1]], dtype=torch.int32)
    narrow, wide = fields(ids, [0, 1, 2])
    table = fields.tables["2"].weight
    assert torch.equal(narrow[0], torch.cat([table[3], table[8]]))
    assert torch.equal(narrow[1], torch.cat([table[0], table[5]]))
    assert torch.equal(wide, fields.tables["6"].weight[[2, 1]])


def test_a_field_that_shares_reads_its_owners_rows():
    fields = FusedEmbedding([4, 7, 7], [2, 2, 2], owners=[0, 1, 1])
    assert fields.tables["2"].weight.shape == (11, 2)
    (read,) = fields(torch.tensor([[0, 6, 6]]), [0, 1, 2])
    assert torch.equal(read[0, 2:4], read[0, 4:6])


def test_copies_are_apart_and_rows_read_the_copy_they_name():
    fields = FusedEmbedding([4, 3], [2, 2], copies=3)
    table = fields.tables["2"].weight
    (read,) = fields(torch.tensor([[1, 2], [1, 2]]), [0, 1], torch.tensor([2, 0]))
    assert torch.equal(read, torch.stack([table[[15, 20]].flatten(), table[[1, 6]].flatten()]))


def test_a_sparse_table_has_a_gradient_only_where_the_batch_looked():
    table = Table(100, 2)
    table(torch.tensor([3, 3, 7], dtype=torch.int32)).sum().backward()
    assert table.weight.grad.is_sparse
    assert table.weight.grad.coalesce().indices().tolist() == [[3, 7]]
    dense = Table(100, 2, sparse=False)
    dense(torch.tensor([3])).sum().backward()
    assert not dense.weight.grad.is_sparse


@given(lengths=st.lists(st.lists(st.integers(0, 8), max_size=4), max_size=6), copies=st.integers(1, 3))
def test_a_sequence_is_the_mean_of_its_rows_and_zero_when_empty(lengths, copies):
    fields = FusedEmbedding([4, 9, 9, 3], [2, 2, 2, 5], owners=[0, 1, 1, 3], copies=copies)
    values = torch.tensor([value for row in lengths for value in row], dtype=torch.int32)
    offsets = torch.tensor([0, *[len(row) for row in lengths]], dtype=torch.int32).cumsum(0)
    other = (torch.zeros(len(lengths), dtype=torch.int32), torch.arange(len(lengths) + 1))
    copy = torch.arange(len(lengths)) % copies if copies > 1 else None
    narrow, wide = fields.pooled([(values, offsets), other, other], [1, 2, 3], len(lengths), copy)
    assert narrow.shape == (len(lengths), 4)
    assert wide.shape == (len(lengths), 5)
    table = fields.tables["2"].weight
    for place, row in enumerate(lengths):
        start = 4 + 13 * (place % copies)
        expected = table[[start + value for value in row]].mean(0) if row else torch.zeros(2)
        torch.testing.assert_close(narrow[place, :2], expected)
        torch.testing.assert_close(narrow[place, 2:], table[start])


def test_one_sequence_alone_and_several_together_are_pooled_alike():
    fields = FusedEmbedding([9, 9], [2, 2])
    bag = (torch.tensor([1, 2, 3, 8]), torch.tensor([0, 3, 3, 4]))
    (alone,) = fields.pooled([bag], [1], 3)
    (both,) = fields.pooled([bag, bag], [0, 1], 3)
    assert torch.equal(both[:, 2:], alone)


@pytest.mark.parametrize("rows", [0, 1])
def test_no_rows_and_one_row_are_read(rows):
    fields = FusedEmbedding([4, 3], [2, 5])
    ids = torch.zeros(rows, 2, dtype=torch.int32)
    assert [part.shape for part in fields(ids, [0, 1])] == [(rows, 2), (rows, 5)]
