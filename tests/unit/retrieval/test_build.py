"""An index that is built block by block is that of all rows at once, and holds no more than blocks of them."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from polyrec.artifact import Bundle
from polyrec.data.files import Source
from polyrec.errors import ConfigError, DataError
from polyrec.retrieval import AnnOptions, Sharded, build
from polyrec.retrieval import trial as embedding
from polyrec.retrieval.index import ItemIndex, publish
from polyrec.retrieval.vectors import VectorFile


@pytest.fixture(scope="module")
def bundle(towers):
    return Bundle.load(towers / "bundle")


def items_of(log):
    """Items and their scenarios, one row at a time."""
    last, shown = {}, {}
    for place, row in enumerate(log.iter_rows(named=True)):
        if row["item_id"] is not None:
            last[row["item_id"]] = (place, row["price"])
            shown.setdefault(row["tab"], set()).add(row["item_id"])
    order = sorted(last, key=lambda item: last[item][0])
    return {item: last[item][1] for item in order}, shown


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 120), block=st.sampled_from([1, 7, 1000]), shards=st.integers(1, 4), seed=st.integers(0, 99))
def test_built_in_blocks_it_holds_the_last_row_of_each_item_and_its_vector(
    bundle, tmp_path_factory, monkeypatch, rows, block, shards, seed
):
    monkeypatch.setattr(build, "BLOCK", block)
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("items")
    ids = [None if one == 29 else f"item-{one}" for one in rng.integers(0, 30, rows)]
    if not any(ids):
        ids[0] = "item-1"
    log = pl.DataFrame(
        {"item_id": ids, "price": rng.random(rows).round(2), "tab": rng.choice(["home", "search"], rows)},
        schema_overrides={"item_id": pl.String},
    )
    log[: rows // 2].write_csv(folder / "a.csv")
    log[rows // 2 :].write_parquet(folder / "b.parquet", row_group_size=9)
    files = (folder / "a.csv", folder / "b.parquet") if rows > 1 else (folder / "b.parquet",)
    index = ItemIndex.build(bundle, Source(files), shards=shards)
    expected, shown = items_of(log)
    assert index.items.to_pydict() == {"item_id": list(expected), "price": list(expected.values())}
    assert list(index.shelves) == [name for name in ("home", "search") if name in shown]
    for name, shelf in index.shelves.items():
        mine = index.items.take(pa.array(shelf.rows.numpy()))
        assert set(mine["item_id"].to_pylist()) == shown[name]
        assert shelf.rows.tolist() == sorted(shelf.rows.tolist())
        batch = bundle.encoder.encode(build.completed(mine, bundle.encoder, name), labels=False)
        vectors = embedding.embed(bundle.model, "item", batch)
        parts = shelf.retriever.shards if isinstance(shelf.retriever, Sharded) else [shelf.retriever]
        assert len(parts) == min(shards, len(mine))
        torch.testing.assert_close(torch.cat([one.vectors for one in parts]), vectors)


def test_no_more_than_a_block_of_items_is_encoded_and_written_at_a_time(bundle, shop, tmp_path, monkeypatch):
    seen, written, encode, append = [], [], type(bundle.encoder).encode, VectorFile.append
    monkeypatch.setattr(build, "BLOCK", 10)
    monkeypatch.setattr("polyrec.data.pieces.BLOCK", 16)
    monkeypatch.setattr(
        type(bundle.encoder),
        "encode",
        lambda self, rows, **more: (seen.append(rows.num_rows), encode(self, rows, **more))[1],
    )
    monkeypatch.setattr(VectorFile, "append", lambda self, rows: (written.append(len(rows)), append(self, rows))[1])
    pl.read_parquet(shop / "log.parquet")[:300].write_parquet(tmp_path / "log.parquet")
    build.write(bundle, Source((tmp_path / "log.parquet",)), tmp_path / "index")
    assert seen == written
    assert max(seen) < 10 + 16  # a block, and what of one more block of rows came with it
    assert sum(seen) == sum(len(load_file(path)["vectors"]) for path in tmp_path.rglob("*.safetensors")) > 60


def test_faiss_shards_are_published_and_read_back(bundle, shop, towers):
    source = Source((shop / "log.parquet",))
    sizes = publish(towers / "bundle", bundle, source, AnnOptions(kind="flat"), 3)
    index, exact = ItemIndex.load(towers / "bundle", bundle), ItemIndex.build(bundle, source)
    assert sizes == {name: len(shelf.rows) for name, shelf in exact.shelves.items()}
    asked = torch.randn(5, index.shelves["home"].retriever.width, generator=torch.Generator().manual_seed(0))
    assert isinstance(index.shelves["home"].retriever, Sharded)
    assert torch.equal(index.search("home", asked, 7).places, exact.search("home", asked, 7).places)
    with pytest.raises(ConfigError, match="--shards 0 must be at least 1"):
        publish(towers / "bundle", bundle, source, None, 0)


def test_a_vector_file_is_what_was_announced_or_an_error(tmp_path):
    def written(*blocks):
        with VectorFile(tmp_path / "a.safetensors", 3) as file:
            for block in blocks:
                file.append(block)

    written(torch.ones(2, 4), torch.zeros(0, 4), torch.full((1, 4), 2.0))
    assert load_file(tmp_path / "a.safetensors")["vectors"].tolist() == [[1.0] * 4] * 2 + [[2.0] * 4]
    with pytest.raises(DataError, match="2 vectors were written of 3 that were announced"):
        written(torch.ones(2, 4))
    with pytest.raises(DataError, match="vectors of 5 numbers after such of 4"):
        written(torch.ones(2, 4), torch.ones(1, 5))
    with pytest.raises(DataError, match="1 of 2 item vectors hold NaN or infinity"):
        written(torch.tensor([[1.0], [torch.inf]]))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"item_id": [], "price": [], "tab": []}, "no rows"),
        ({"item_id": ["a"], "price": [1.0], "tab": [None]}, "'tab' is null in a row of an item"),
    ],
)
def test_no_items_and_items_of_no_scenario_are_refused(bundle, tmp_path, rows, words):
    frame = pl.DataFrame(rows, schema={"item_id": pl.String, "price": pl.Float64, "tab": pl.String})
    frame.write_parquet(tmp_path / "items.parquet")
    with pytest.raises(DataError, match=words):
        ItemIndex.build(bundle, Source((tmp_path / "items.parquet",)))


def test_sizes_that_pq_cannot_work_with_are_told_before_a_vector_is_made(bundle, tmp_path, monkeypatch):
    pl.DataFrame({"item_id": [f"item-{one}" for one in range(600)], "price": [1.0] * 600}).write_parquet(
        tmp_path / "items.parquet"
    )
    source, made = Source((tmp_path / "items.parquet",)), []
    monkeypatch.setattr(build, "embed", lambda *words: made.append(1) or embedding.embed(*words))
    monkeypatch.setattr(build, "BLOCK", 100)
    with pytest.raises(ConfigError, match=r"a shard of 3 has 200\. Use kind = 'flat', fewer shards"):
        ItemIndex.build(bundle, source, AnnOptions(kind="pq"), shards=3)
    assert not made
    with pytest.raises(ConfigError, match="bytes = 7 must divide the vectors' width"):
        ItemIndex.build(bundle, source, AnnOptions(kind="pq", bytes=7))
    assert len(made) == 1
