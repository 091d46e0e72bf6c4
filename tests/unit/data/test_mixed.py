from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyrec.data import files, mixed
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.loader import Loader, Position
from polyrec.data.mixed import Mixed, deal
from polyrec.data.vocabulary import Vocabulary
from polyrec.data.where import Between, Share
from polyrec.distributed import World
from polyrec.schema import Feature, Keys, Schema, Task

ROWS, GROUP = 6_000, 250
SCHEMA = Schema(
    Keys("tab", user="row"),
    (Feature("item", "categorical"), Feature("seen", "sequence"), Feature("price", "numeric")),
    (Task("click", "click"),),
)
WHERE = [None, Between("week", 2, 9), Share(0.1, 0.8, 3), Share(0.2, 0.9, 3, "item")]


def one_of(rank, size):
    here = World()
    here.rank, here.size = rank, size
    return here


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """24 row groups in two files."""
    folder, random = tmp_path_factory.mktemp("log"), np.random.default_rng(0)
    items = random.integers(0, 50, ROWS)
    table = pa.table(
        {
            "row": np.arange(ROWS),
            "item": pa.array([f"item {one}" for one in items]),
            "seen": [[f"item {one}"] * (one % 3) for one in items],
            "price": random.normal(size=ROWS),
            "tab": random.choice(["a", "b"], ROWS),
            "week": np.sort(random.integers(0, 10, ROWS)),
            "click": random.integers(0, 2, ROWS),
        }
    )
    for place in range(2):
        half = table.slice(place * ROWS // 2, ROWS // 2)
        pq.write_table(half, folder / f"{place}.parquet", row_group_size=GROUP)
    return Source((folder / "0.parquet", folder / "1.parquet"))


@pytest.fixture(scope="module")
def encoder(source):
    return Encoder(SCHEMA, Vocabulary.fit(SCHEMA, source))


@pytest.fixture
def read(monkeypatch):
    """Row groups that are opened, and rows that are decoded."""
    found, real = Counter(), files.read_piece

    def reading(piece, *rest):
        found["groups"] += 1
        for table in real(piece, *rest):
            found["rows"] += table.num_rows
            yield table

    monkeypatch.setattr(files, "read_piece", reading)
    return found


def rows(windows):
    return [row for blocks in windows for block in blocks for row in block.table["row"].to_pylist()]


def loader(source, encoder, **options):
    return Loader(source, encoder, **{"batch_size": 400, "shuffle_rows": 1_500, "seed": 5, "prefetch": 0, **options})


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("window", [100, 900, 5_000])
def test_every_row_comes_once_in_an_order_of_the_seed(source, where, window, monkeypatch):
    monkeypatch.setattr("polyrec.data.pieces.BLOCK", 90)
    part = Source(source.paths, where)
    found = [rows(Mixed(part, window).windows(["row"], (0, epoch))) for epoch in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert sorted(found[0]) == [row for table in part.tables(["row"]) for row in table["row"].to_pylist()]


@pytest.mark.parametrize("where", WHERE)
def test_starting_at_a_window_gives_the_rest(source, where):
    part = Mixed(Source(source.paths, where), 370)
    whole = rows(part.windows(["row"], (4, 1)))
    for first in range(len(whole) // 370 + 2):
        assert rows(part.windows(["row"], (4, 1), first)) == whole[first * 370 :]


def test_every_window_holds_each_row_group_of_those_that_are_read_together(source):
    for blocks in Mixed(source, 400).windows(["row"], (0, 0)):
        assert len(blocks) == 8
        assert all(40 <= block.rows <= 60 for block in blocks)


def test_processes_see_the_same_blocks_and_read_other_rows(source):
    parts = [Mixed(source, 700), *(Mixed(source, 700, part=one_of(rank, 4)) for rank in range(4))]
    views = [[block for blocks in part.windows(["row"], (0, 3)) for block in blocks] for part in parts]
    for block, *others in zip(*views, strict=True):
        assert {(one.rows, one.owner) for one in others} == {(block.rows, others[0].owner)}
        (table,) = [one.table for one in others if one.table is not None]
        assert others[others[0].owner].table is table
        assert table.equals(block.table)


def test_row_groups_without_a_row_take_no_place_among_those_that_are_read_together(source):
    few = source.filtered(Between("week", 0, 5))
    assert 0 in few.counts()
    assert len(next(Mixed(few, 500).windows(["row"], (0, 0)))) == 8


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=20), st.integers(1, 9))
def test_row_groups_are_dealt_evenly_or_to_all(counts, size):
    owners = deal(counts, size)
    if owners is not None:
        loads = [sum(one for one, owner in zip(counts, owners, strict=True) if owner == rank) for rank in range(size)]
        assert sum(loads) == sum(counts)
        assert max(loads) * size <= 1.15 * sum(counts)
        assert min(loads) * size >= 0.5 * sum(counts)


def test_row_groups_of_one_size_are_dealt_where_processes_divide_them():
    assert [deal([5] * 8, size) is not None for size in range(1, 10)] == [True, True, True, True] + [False] * 3 + [
        True,
        False,
    ]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("size", [2, 3, 4])
def test_batches_of_all_processes_are_those_of_one(source, encoder, where, size):
    part = Source(source.paths, where)
    alone = list(loader(part, encoder).epoch(2))
    parts = [list(loader(part, encoder, part=one_of(rank, size)).epoch(2)) for rank in range(size)]
    for (after, batch), *others in zip(alone, *parts, strict=True):
        assert {one for one, _ in others} == {after}
        assert all(len(one) for _, one in others)
        together = torch.cat([one.user for _, one in others])
        assert len(together) == len(batch)
        places, found = torch.argsort(batch.user), torch.argsort(together)
        for name in ("user", "ids", "numerics", "labels", "scenario"):
            mine = torch.cat([getattr(one, name) for _, one in others])
            assert torch.equal(getattr(batch, name)[places], mine[found])
        seen = torch.cat([one.sequences["seen"].lengths for _, one in others])
        assert torch.equal(batch.sequences["seen"].lengths[places], seen[found])


@pytest.mark.parametrize(("size", "together"), [(2, 8), (4, 8), (3, 6), (8, 8), (12, 12)])
def test_a_process_reads_its_part_of_the_rows_and_no_other(source, encoder, size, together, read):
    options = {"mixed": together, "batch_size": 1_500, "shuffle_rows": 1_500}
    for rank in range(size):
        read.clear()
        mine = sum(len(batch) for _, batch in loader(source, encoder, part=one_of(rank, size), **options).epoch(0))
        assert read["rows"] == mine == ROWS // size
        assert read["groups"] == 24 // size


def test_what_cannot_be_dealt_evenly_is_read_by_all_and_shared(source, encoder, read):
    for size, options in ((5, {}), (2, {"batch_size": 100}), (16, {"batch_size": 1_500})):
        read.clear()
        mine = sum(len(batch) for _, batch in loader(source, encoder, part=one_of(1, size), **options).epoch(0))
        assert read["rows"] == ROWS
        assert abs(mine - ROWS / size) < 20


def test_a_last_window_that_is_not_half_full_is_shared(source, encoder, read):
    options = {"shuffle_rows": 1_000, "mixed": 4}
    few = source.filtered(Share(0.0, 0.85, 3))
    assert 0 < few.rows() % 1_000 < 500
    read.clear()
    parts = [list(loader(few, encoder, part=one_of(rank, 2), **options).epoch(0)) for rank in range(2)]
    sizes = np.array([[len(batch) for _, batch in part] for part in parts])
    assert (sizes > 0).all()
    assert abs(sizes[0, -1] - sizes[1, -1]) <= 1
    assert read["rows"] == ROWS + 4 * GROUP  # the last four row groups twice


@pytest.mark.parametrize("size", [1, 2])
def test_going_on_reads_only_the_row_groups_that_the_position_is_in_and_those_after_it(source, encoder, read, size):
    made = loader(source, encoder, part=one_of(size - 1, size))
    whole = list(made.epoch(3))
    opened = read["groups"]
    assert opened == 24 // size
    assert source.rows()  # counted
    for window, rounds in (
        (0, 3),
        (1, 3),
        (2, 2),
        (3, 1),
    ):  # three times eight row groups of 250 rows, windows of 1,500
        for batch in (0, 2):
            read.clear()
            rest = list(made.epoch(3, Position(window, batch)))
            assert read["groups"] == rounds * 8 // size
            assert len(rest) == len(whole) - 4 * window - batch
            assert all(
                torch.equal(one.user, two.user) for (_, one), (_, two) in zip(rest[::-1], whole[::-1], strict=False)
            )


def test_it_is_eight_row_groups_unless_it_is_said():
    assert mixed.TOGETHER == Loader.__init__.__kwdefaults__["mixed"] == 8
