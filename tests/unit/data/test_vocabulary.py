import json
from dataclasses import replace

import pyarrow as pa
import pytest

from polyrec.data.files import Source
from polyrec.data.vocabulary import Vocabulary
from polyrec.data.where import Between
from polyrec.errors import BundleError, DataError
from polyrec.schema import Feature, Keys, Schema, Task

TASKS = (Task("click", "click"),)


def fit(write, columns, *features, scenarios=()):
    columns = {"tab": ["home"] * len(next(iter(columns.values()))), **columns}
    schema = Schema(Keys("tab"), features, TASKS, scenarios)
    return Vocabulary.fit(schema, Source((write(columns, group=2),)))


def known(vocabulary, name="x"):
    return vocabulary.values[name].array().to_pylist()


def test_only_the_rows_of_the_source_are_counted(source, schema, log):
    vocabulary = Vocabulary.fit(schema, source.filtered(Between("week", None, 2)))
    early = [item for item, week in zip(log["item"].to_pylist(), log["week"].to_pylist(), strict=True) if week < 2]
    assert set(known(vocabulary, "item")) == set(early)
    assert vocabulary.rows == len(early)
    counts = [early.count(one) for one in known(vocabulary, "item")]
    assert counts == sorted(counts, reverse=True)


def test_min_count_and_hash_are_heeded(write):
    columns = {"x": ["a", "a", "b"], "h": [1, 2, 3]}
    vocabulary = fit(write, columns, Feature("x", "categorical", min_count=2), Feature("h", "categorical", hash=100))
    assert known(vocabulary) == ["a"]
    assert known(vocabulary, "h") == []
    assert len(vocabulary.values["h"]) == 102


def test_features_that_share_ids_are_counted_together(write):
    columns = {"x": ["a", "b"], "seen": [["c", "b"], ["c", "c"]]}
    vocabulary = fit(write, columns, Feature("x", "categorical"), Feature("seen", "sequence", shares="x"))
    assert known(vocabulary) == ["c", "b", "a"]
    assert list(vocabulary.values) == ["x"]


def test_features_of_other_kinds_cannot_share_ids(write):
    with pytest.raises(DataError, match="feature 'y', which shares the ids of feature 'x', holds integers"):
        fit(write, {"x": ["a"], "y": [1]}, Feature("x", "categorical"), Feature("y", "categorical", shares="x"))


def test_scenarios_are_those_of_the_training_rows_in_order_of_name(source, schema):
    assert Vocabulary.fit(schema, source).scenarios == ("feed", "home", "search")


def test_declared_scenarios_keep_their_order(source, schema):
    declared = ("search", "home", "feed", "live")
    assert Vocabulary.fit(schema.with_scenarios(declared), source).scenarios == declared


def test_a_scenario_that_is_not_declared_is_named(source, schema):
    with pytest.raises(
        DataError, match=r"scenario 'home' is not in the schema\. Known: feed, hom, search\. Did you mean 'hom'"
    ):
        Vocabulary.fit(schema.with_scenarios(("feed", "hom", "search")), source)


def test_a_null_scenario_is_refused(write):
    with pytest.raises(DataError, match="scenario column 'tab' is null in 1 of 3 training rows"):
        fit(write, {"x": [1, 2, 3], "tab": ["a", None, "b"]}, Feature("x", "categorical"))


@pytest.mark.parametrize(
    ("column", "feature"),
    [
        (pa.nulls(3), Feature("x", "categorical")),
        (pa.array([None] * 3, pa.string()), Feature("x", "categorical", hash=5)),
        (pa.array([float("nan"), None, float("inf")]), Feature("x", "numeric")),
        (pa.array([None] * 3, pa.string()), Feature("x", "numeric")),
        (pa.array([[], None, []], pa.list_(pa.int64())), Feature("x", "sequence")),
        (pa.array([None] * 3, pa.list_(pa.float64())), Feature("x", "vector", size=2)),
    ],
)
def test_a_feature_without_any_value_is_to_be_removed(write, column, feature):
    missing = "null, NaN or infinite" if feature.kind == "numeric" else "null"
    with pytest.raises(DataError, match=rf"feature 'x' is {missing} in all 3 training rows\. Remove the feature"):
        fit(write, {"x": column}, feature)


def test_texts_and_integers_in_one_column_of_several_files_are_refused(write):
    with pytest.raises(DataError, match="feature 'x' has type timestamp"):
        fit(write, {"x": pa.array([1], pa.timestamp("us"))}, Feature("x", "categorical"))


def test_a_missing_column_is_named(source, schema):
    schema = replace(schema, features=(*schema.features, Feature("prise", "numeric")))
    with pytest.raises(DataError, match=r"column 'prise' is not in .*Did you mean 'price'"):
        Vocabulary.fit(schema, source)


def test_no_training_rows_are_refused(source, schema):
    with pytest.raises(DataError, match="no training rows"):
        Vocabulary.fit(schema, source.filtered(Between("week", 99)))


def test_growth_appends_and_moves_nothing(source, schema):
    early = Vocabulary.fit(schema, source.filtered(Between("week", None, 1)))
    grown = early.grow(schema, source.filtered(Between("week", 1)))
    assert known(grown, "item")[: len(known(early, "item"))] == known(early, "item")
    assert set(known(grown, "item")) == set(known(Vocabulary.fit(schema, source), "item"))
    assert grown.numbers == early.numbers
    assert grown.rows == 1000


def test_growth_refuses_a_scenario_never_seen(source, schema):
    early = Vocabulary.fit(schema, source)
    early = replace(early, scenarios=("feed", "home"))
    with pytest.raises(DataError, match="scenario 'search' is not in the schema"):
        early.grow(schema, source)


def test_what_is_saved_loads_back_equal(source, schema, tmp_path):
    schema = replace(schema, features=(*schema.features, Feature("row", "categorical", hash=7)))
    vocabulary = Vocabulary.fit(schema, source)
    vocabulary.save(tmp_path / "vocabulary")
    again = Vocabulary.load(tmp_path / "vocabulary")
    assert again == vocabulary
    assert list(again.values) == list(vocabulary.values)


def _cut(folder):
    path = folder / "values-000.parquet"
    path.write_bytes(path.read_bytes()[:-30])


def _flip(folder):
    path = folder / "values-001.parquet"
    raw = bytearray(path.read_bytes())
    raw[40] ^= 255
    path.write_bytes(raw)


def _shorten(folder):
    text = (folder / "vocabulary.json").read_text()
    (folder / "vocabulary.json").write_text(text[: len(text) // 2])


def _edit(folder, change):
    plain = json.loads((folder / "vocabulary.json").read_text())
    change(plain)
    (folder / "vocabulary.json").write_text(json.dumps(plain))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "does not hold a whole vocabulary"),
        (_flip, "does not hold a whole vocabulary"),
        (_shorten, "does not hold a whole vocabulary: JSONDecodeError"),
        (lambda folder: (folder / "vocabulary.json").unlink(), "does not hold a whole vocabulary: FileNotFoundError"),
        (lambda folder: (folder / "values-000.parquet").unlink(), "values-000.parquet"),
        (lambda folder: _edit(folder, lambda plain: plain.pop("scenarios")), "KeyError: 'scenarios'"),
        (lambda folder: _edit(folder, lambda plain: plain["values"]["item"].update(count=3)), "values, not 3"),
        (lambda folder: _edit(folder, lambda plain: plain["numbers"]["price"].pop("mean")), "mean is missing"),
        (lambda folder: _edit(folder, lambda plain: plain.update(format=9)), "format 9; this version reads 1"),
        (lambda folder: (folder / "vocabulary.json").write_text("[]"), "does not hold a whole vocabulary: TypeError"),
    ],
)
def test_a_damaged_folder_is_refused(source, schema, tmp_path, damage, words):
    Vocabulary.fit(schema, source).save(tmp_path / "v")
    damage(tmp_path / "v")
    with pytest.raises(BundleError, match=words):
        Vocabulary.load(tmp_path / "v")


def test_the_real_log_gives_the_ids_that_polars_counts(journey_small):
    import polars as pl

    schema = Schema(
        Keys("scenario"),
        (Feature("item_type", "categorical"), Feature("store_id", "categorical"), Feature("prev_visits", "numeric")),
        (Task("buy", "buy"),),
    )
    vocabulary = Vocabulary.fit(schema, Source((journey_small,)))
    frame = pl.read_parquet(journey_small)
    for name in ("item_type", "store_id"):
        counts = frame.group_by(name).len().sort(["len", name], descending=[True, False])
        assert known(vocabulary, name) == counts[name].to_list()
    assert vocabulary.numbers["prev_visits"].mean == pytest.approx(frame["prev_visits"].mean())
    assert vocabulary.scenarios == ("display_only", "mailer_front", "mailer_interior")
