"""A bundle's index: what is in it, who may read it, and retrieve then rank."""

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch

from polyrec.artifact import Bundle, Manifest
from polyrec.data.files import Source
from polyrec.errors import BundleError, ConfigError, DataError, NotReadyError
from polyrec.evaluation.report import Report
from polyrec.retrieval import AnnOptions
from polyrec.retrieval.index import ItemIndex
from polyrec.retrieval.recommend import Recommender
from polyrec.schema import Target

USERS = pa.table({"user_id": [3, 14, 59]})


@pytest.fixture
def bundle(towers):
    return Bundle.load(towers / "bundle")


@pytest.fixture
def recommender(bundle, shop):
    return Recommender(bundle, ItemIndex.build(bundle, Source((shop / "log.parquet",))))


def test_each_item_is_there_once_and_a_scenario_shows_its_own(recommender, shop):
    log = pl.read_parquet(shop / "log.parquet")
    index = recommender.index
    assert sorted(index.items["item_id"].to_pylist()) == sorted(log["item_id"].unique().to_list())
    assert index.items.column_names == ["item_id", "price"]
    for name in ("home", "search"):
        mine = index.items["item_id"].take(pa.array(index.shelves[name].rows.numpy())).to_pylist()
        assert sorted(mine) == sorted(log.filter(tab=name)["item_id"].unique().to_list())


def test_without_a_scenario_column_every_scenario_shows_every_item(bundle, tmp_path):
    pl.DataFrame({"item_id": ["item-1", "item-2", "item-2"], "price": [1.0, 2.0, 3.0]}).write_parquet(
        tmp_path / "a.parquet"
    )
    index = ItemIndex.build(bundle, Source((tmp_path / "a.parquet",)))
    assert index.items.to_pydict() == {"item_id": ["item-1", "item-2"], "price": [1.0, 3.0]}  # the last row counts
    assert {name: shelf.rows.tolist() for name, shelf in index.shelves.items()} == {"home": [0, 1], "search": [0, 1]}


def test_retrieved_items_are_those_of_largest_inner_product(recommender, bundle):
    hits = recommender.retrieve(USERS, "search", 5)
    rows = [
        {"user_id": user, "item_id": item, "price": price, "tab": "search"}
        for user in (3, 14, 59)
        for item, price in zip(*recommender.index.items.to_pydict().values(), strict=True)
    ]
    batch = bundle.encoder.encode_rows(rows)
    with torch.no_grad():
        near = (bundle.model.user(batch) * bundle.model.item(batch)).sum(1).view(3, -1)
    mine = recommender.index.shelves["search"].rows
    expected = near[:, mine].topk(5, 1)
    assert torch.equal(hits.places, mine[expected.indices])
    assert torch.allclose(hits.scores, expected.values, atol=1e-5)
    assert [len(row) for row in recommender.keys(hits)] == [5, 5, 5]


def test_exclusions_and_allowed_items_are_named_by_their_keys(recommender):
    first = recommender.keys(recommender.retrieve(USERS, "home", 3))
    exclude = [[*row, "no such item"] for row in first]
    second = recommender.keys(recommender.retrieve(USERS, "home", 3, exclude=exclude))
    assert not any(set(a) & set(b) for a, b in zip(first, second, strict=True))
    both = recommender.keys(recommender.retrieve(USERS, "home", 6))
    assert [a + b for a, b in zip(first, second, strict=True)] == both
    allowed = recommender.keys(recommender.retrieve(USERS, "home", 3, allow=["item-1", "item-2", "no such item"]))
    assert [set(row) for row in allowed] == [{"item-1", "item-2"}] * 3


def test_saved_in_the_bundle_it_is_read_back_and_the_bundle_still_checks(towers, bundle, recommender):
    recommender.index.save(towers / "bundle")
    Manifest.read(towers / "bundle")
    again = Recommender.load(towers / "bundle")
    assert again.bundle.manifest.identity == bundle.manifest.identity
    one, other = recommender.retrieve(USERS, "home", 4), again.retrieve(USERS, "home", 4)
    assert torch.equal(one.places, other.places)
    ItemIndex.build(bundle, Source((towers.parent.parent / "log.parquet",)), AnnOptions(kind="flat")).save(
        towers / "bundle"
    )
    newer = Recommender.load(towers / "bundle")
    assert newer.index.shelves["home"].retriever.is_exact
    assert torch.equal(newer.retrieve(USERS, "home", 4).places, one.places)
    assert torch.equal(again.retrieve(USERS, "home", 4).places, one.places)  # who had it open goes on


def test_an_index_of_another_bundle_or_changed_files_is_refused(towers, bundle, recommender):
    folder = recommender.index.save(towers / "bundle")
    told = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(told | {"bundle": "sass@0"}))
    with pytest.raises(BundleError, match="was made by bundle sass@0, this is twotower-mixed@"):
        ItemIndex.load(towers / "bundle", bundle)
    (folder / "index.json").write_text(json.dumps(told))
    rows = folder / "000" / "rows.npy"
    rows.write_bytes(rows.read_bytes()[:-1] + b"\x07")
    with pytest.raises(BundleError, match=r"rows\.npy differs from what was written"):
        ItemIndex.load(towers / "bundle", bundle)


def test_retrieve_then_rank_orders_the_candidates_by_the_ranker(recommender, ranker):
    users = pa.table({"user_id": [3, 14], "hour": [5, 6]})
    found = recommender.recommend(users, "home", 4, ranker=ranker, by={"buy": 2.0, "click": 0.5}, candidates=10)
    candidates = recommender.retrieve(users, "home", 10)
    for row, (user, hour) in enumerate([(3, 5), (14, 6)]):
        items = recommender.index.items.take(pa.array(candidates.places[row].numpy())).to_pylist()
        batch = ranker.encoder.encode_rows([{"user_id": user, "hour": hour, "tab": "home", **item} for item in items])
        scores = ranker.probabilities(batch)
        total = 2.0 * scores[Target("buy")] + 0.5 * scores[Target("click")]
        best = total.topk(4)
        assert recommender.keys(found)[row] == [items[place]["item_id"] for place in best.indices.tolist()]
        assert torch.allclose(found.scores[row], best.values, atol=1e-6)
    hidden = recommender.keys(found)
    again = recommender.recommend(users, "home", 4, ranker=ranker, candidates=10, exclude=hidden)
    assert not any(set(a) & set(b) for a, b in zip(hidden, recommender.keys(again), strict=True))


def test_fewer_items_than_asked_for_leave_places_empty(recommender, ranker):
    users = pa.table({"user_id": [3]})
    found = recommender.recommend(users, "home", 5, ranker=ranker, candidates=9, allow=["item-1", "item-2"])
    assert found.places[0, 2:].tolist() == [-1, -1, -1]
    assert len(recommender.keys(found)[0]) == 2


def test_what_cannot_be_recommended_is_refused_in_words(recommender, ranker, bundle, shop, fitted, tmp_path):
    queries = torch.zeros(1, 64)
    for search in (lambda: recommender.retrieve(USERS, "hom", 3), lambda: recommender.index.search("hom", queries, 3)):
        with pytest.raises(DataError, match=r"scenario 'hom' is not one with items in the index.*Did you mean 'home'"):
            search()
    with pytest.raises(DataError, match="user feature 'user_id' is not among the users' columns"):
        recommender.retrieve(pa.table({"user": [3]}), "home", 3)
    with pytest.raises(DataError, match="exclude has 1 rows for 3 users"):
        recommender.retrieve(USERS, "home", 3, exclude=[[]])
    with pytest.raises(ConfigError, match="candidates = 2: at least k = 3"):
        recommender.recommend(USERS, "home", 3, ranker=ranker, candidates=2)
    with pytest.raises(ConfigError, match=r"target 'bye' is not predicted by the ranking bundle.*Did you mean 'buy'"):
        recommender.recommend(USERS, "home", 3, ranker=ranker, by={"bye": 1.0})
    with pytest.raises(DataError, match="a Pooled has no user and item vectors"):
        ItemIndex.build(ranker, Source((shop / "log.parquet",)))
    with pytest.raises(DataError, match="Fit a recipe of two towers"):  # and not: build an index
        Recommender.load(fitted(shop, "pooled") / "bundle")
    with pytest.raises(NotReadyError, match="holds no index"):
        ItemIndex.load(tmp_path, bundle)
    pl.DataFrame({"item_id": ["a"], "price": [1.0], "tab": ["hom"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="scenario 'hom' is not among those of the bundle"):
        ItemIndex.build(bundle, Source((tmp_path / "a.parquet",)))
    pl.DataFrame({"item_id": pl.Series([None], dtype=pl.String), "price": [1.0]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="no row has an item key"):
        ItemIndex.build(bundle, Source((tmp_path / "b.parquet",)))


def test_the_report_has_retrieval_lines_and_no_probabilities(towers):
    report = Report.load(towers / "report.json")
    row = report.get("home", Target("click"), "recall@20")
    assert 0.5 < row.value <= 1.0  # a user likes 8 of 40 items
    assert row.low < row.value < row.high
    assert row.positives >= row.n > 10
    assert report.get("macro", Target("click"), "ndcg@50").value > 0
    assert report.get("*", Target("click"), "auc").value > 0.6
    loss = report.get("home", Target("click"), "log_loss")
    assert (loss.value, loss.note) == (None, "a retrieval score orders items and is no probability")
    html = (towers / "report.html").read_text()
    assert "recall@50" in html


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["twotower-single", "twotower-finetune", "sass-base", "sass", "sass-labelled-only"])
def test_every_recipe_of_retrieval_fits_and_indexes(recipe, shop, fitted):
    out = fitted(shop, recipe)
    found = Bundle.load(out / "bundle")
    hits = Recommender(found, ItemIndex.build(found, Source((shop / "log.parquet",)))).retrieve(USERS, "home", 5)
    assert np.isfinite(hits.scores.numpy()).all()


def test_a_cut_off_that_finds_everything_is_refused_before_it_decides_anything(shop, fitted):
    with pytest.raises(ConfigError, match=r"at = 50: no scenario has more items than that \(the largest has 40\)"):
        fitted(shop, "sass-top-gate", **{"retrieval.at": 50})
    with pytest.raises(ConfigError, match=r"\[retrieval\] is not for recipe 'mmoe'"):
        fitted(shop, "mmoe")
    with pytest.raises(ConfigError, match=r"\[retrieval\] task: task 'clik' is not in the schema"):
        fitted(shop, "sass-user-side", **{"retrieval.task": "clik"})
