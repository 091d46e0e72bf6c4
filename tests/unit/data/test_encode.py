from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from polyrec.batch import NO_USER, Number
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import BundleError, DataError
from polyrec.schema import Feature, Keys, Schema, Task

FEATURES = (
    Feature("item", "categorical", "item", dim=4),
    Feature("price", "numeric", transform="standard"),
    Feature("seen", "sequence", "user", shares="item", max_length=2),
    Feature("age", "numeric", "user", transform="none"),
    Feature("city", "categorical", hash=5),
    Feature("taste", "vector", "user", size=2),
)
LOG = {
    "tab": ["home", "feed", "home", "feed"],
    "user": ["u", "v", "u", "w"],
    "item": ["a", "b", "b", None],
    "price": [1.0, 3.0, 1.0, 3.0],
    "seen": [["c", "b", "a"], None, [], ["zz", None]],
    "age": pa.array([20, None, 40, 60], pa.int16()),
    "city": [5, 6, 7, 8],
    "taste": [[1.0, 2.0], [3.0, 4.0], None, [0.0, 0.0]],
    "click": [1, 0, None, 1],
    "buy": [True, False, None, False],
}
SCHEMA = Schema(Keys("tab", user="user"), FEATURES, (Task("click", "click"), Task("buy", "buy", after="click")))


@pytest.fixture
def encoder(write) -> Encoder:
    training = {**LOG, "seen": [["c", "b", "a"], None, [], ["c", None]]}  # b 3, c 2, a 2
    return Encoder(SCHEMA, Vocabulary.fit(SCHEMA, Source((write(training),))))


def changed(**columns):
    return pa.table({**LOG, **columns})


def test_every_kind_of_column_lands_in_its_tensor(encoder):
    batch = encoder.encode(pa.table(LOG)).check()
    assert batch.ids[:, 0].tolist() == [3, 2, 2, 1]
    assert batch.ids.dtype == torch.int32
    assert batch.numerics.tolist() == [[-1.0, 20.0, 0.0], [1.0, 0.0, 1.0], [-1.0, 40.0, 0.0], [1.0, 60.0, 0.0]]
    assert batch.scenario.tolist() == [1, 0, 1, 0]
    assert batch.labels.tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    assert batch.observed.tolist() == [[True, True], [True, True], [False, False], [True, True]]
    assert batch.weight.tolist() == [1.0] * 4
    assert batch.user[0] == batch.user[2]
    assert len(set(batch.user.tolist())) == 3
    assert batch.sequences["seen"].values.tolist() == [2, 3, 0, 1]  # the last two of c b a
    assert batch.sequences["seen"].offsets.tolist() == [0, 2, 2, 2, 4]
    assert batch.vectors["taste"].tolist() == [[1.0, 2.0], [3.0, 4.0], [0.0, 0.0], [0.0, 0.0]]


def test_the_layout_says_which_column_is_what(encoder):
    layout = encoder.layout
    assert [(one.name, one.size, one.side, one.dim) for one in layout.categorical] == [
        ("item", 5, "item", 4),
        ("city", 7, "context", None),
    ]
    assert layout.numeric == (Number("price"), Number("age", "user"), Number("age?", "user", unit=True))
    assert [(one.name, one.size, one.table, one.max_length) for one in layout.sequences] == [("seen", 5, "item", 2)]
    assert layout.vectors == (Number("taste", "user", 2),)
    assert layout.scenarios == encoder.schema.scenarios == ("feed", "home")


def test_quantiles_are_marked_as_lying_in_the_unit_interval(source, schema):
    schema = replace(schema, features=(Feature("price", "numeric", transform="quantile"),))
    encoder = Encoder(schema, Vocabulary.fit(schema, source))
    assert encoder.layout.numeric == (Number("price", unit=True),)
    numerics = encoder.encode(next(iter(source.tables()))).numerics
    assert 0.0 <= numerics.min() < 0.1
    assert 0.9 < numerics.max() <= 1.0


def test_rows_encode_alike_in_one_chunk_in_many_and_alone(encoder):
    table = pa.table(LOG)
    pieces = pa.concat_tables([table.slice(0, 1), table.slice(1, 2), table.slice(3)])
    coded = table.set_column(2, "item", table["item"].combine_chunks().dictionary_encode())
    whole = encoder.encode(table)
    for other in (encoder.encode(pieces), encoder.encode(coded)):
        for name in ("ids", "numerics", "scenario", "labels", "observed", "user"):
            assert torch.equal(getattr(other, name), getattr(whole, name)), name
        assert torch.equal(other.sequences["seen"].values, whole.sequences["seen"].values)
        assert torch.equal(other.sequences["seen"].offsets, whole.sequences["seen"].offsets)
    for row in range(4):
        assert torch.equal(encoder.encode(table.slice(row, 1)).ids[0], whole.ids[row])


def test_no_rows_make_an_empty_batch(encoder):
    for batch in (encoder.encode(pa.table(LOG).slice(0, 0)), encoder.encode_rows([])):
        assert len(batch) == 0
        assert batch.ids.shape == (0, 2)
        assert batch.numerics.shape == (0, 3)
        assert batch.labels.shape == (0, 2)
        assert batch.vectors["taste"].shape == (0, 2)
        assert len(batch.sequences["seen"]) == 0


def test_scoring_needs_no_labels_and_no_user(encoder):
    rows = pa.table(LOG).drop_columns(["click", "buy", "user"])
    batch = encoder.encode(rows, labels=False)
    assert not batch.observed.any()
    assert batch.user.tolist() == [NO_USER] * 4
    assert torch.equal(batch.ids, encoder.encode(pa.table(LOG)).ids)
    assert set(encoder.columns()) - set(encoder.columns(labels=False)) == {"click", "buy", "user"}


def test_rows_over_the_wire_encode_as_rows_of_a_file(encoder):
    table = pa.table(LOG)
    sent = encoder.encode_rows(table.to_pylist())
    read = encoder.encode(table, labels=False)
    for name in ("ids", "numerics", "scenario", "user"):
        assert torch.equal(getattr(sent, name), getattr(read, name)), name
    assert torch.equal(sent.sequences["seen"].values, read.sequences["seen"].values)
    assert torch.equal(sent.vectors["taste"], read.vectors["taste"])


def test_a_field_that_is_not_sent_is_null_and_others_are_left_alone(encoder):
    batch = encoder.encode_rows([{"tab": "home", "colour": "red"}, {"tab": "feed", "item": "a"}])
    assert batch.ids.tolist() == [[1, 1], [3, 1]]
    assert batch.numerics.tolist() == [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]  # price: its mean; age: its flag


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"item": 7}, "feature 'item' holds integers; the training rows hold text"),
        ({"city": "Ulm"}, "feature 'city' holds text; the training rows hold integers"),
        ({"city": 1.5}, "feature 'city' has type double"),
        ({"price": "dear"}, "feature 'price' has type string, expected numbers"),
        ({"seen": 3}, "feature 'seen' has type int64, expected lists"),
        ({"taste": [1.0]}, "feature 'taste' has a vector of 1 numbers; the schema says size = 2"),
        ({"item": {"id": 1}}, "feature 'item' has type struct"),
        ({"city": 2**70}, "field 'city' has values that do not go together"),
        ({"item": "\ud800"}, "field 'item' has values that do not go together"),
        ({"tab": "hom"}, "scenario 'hom' is not among .* Known: feed, home. Did you mean 'home'"),
        ({"tab": None}, "scenario column 'tab' is null in row 1. Known: feed, home"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(encoder, fields, words):
    with pytest.raises(DataError, match=words):
        encoder.encode_rows([{"tab": "home"}, {"tab": "home", **fields}])


def test_fields_of_mixed_types_are_refused(encoder):
    with pytest.raises(DataError, match="field 'item' has values that do not go together"):
        encoder.encode_rows([{"tab": "home", "item": "a"}, {"tab": "home", "item": 3}])


def test_missing_columns_are_named_with_the_nearest(encoder):
    rows = pa.table(LOG).rename_columns({"price": "prices"}).drop_columns(["click"])
    with pytest.raises(DataError, match=r"lack 2 columns(?s:.*)'price'.*Did you mean 'prices'(?s:.*)'click'"):
        encoder.encode(rows)


def test_a_label_that_is_not_binary_is_refused(encoder):
    with pytest.raises(DataError, match="label 'click' has value 3"):
        encoder.encode(changed(click=[0, 1, 3, 1]))


def test_an_unknown_scenario_is_refused_in_scoring_with_a_way_out(encoder):
    with pytest.raises(DataError, match=r"scenario 'live' is not among .*unknown_scenario = .shared."):
        encoder.encode(changed(tab=["home", "live", "home", "feed"]))


def test_an_unknown_scenario_takes_the_shared_path_where_the_schema_says_so(encoder):
    shared = Encoder(replace(SCHEMA, unknown_scenario="shared"), encoder.vocabulary)
    rows = changed(tab=["home", "live", None, "feed"])
    assert shared.encode(rows).scenario.tolist() == [1, -1, -1, 0]
    with pytest.raises(DataError, match=r"scenario 'live' is not among .* Leave such rows out, or fit again"):
        shared.encode(rows, strict=True)


def test_a_column_of_nulls_may_have_any_type(encoder):
    nothing = pa.array([None] * 4, pa.string())
    batch = encoder.encode(changed(price=nothing, city=nothing, seen=pa.nulls(4), taste=nothing))
    assert batch.ids[:, 1].tolist() == [1] * 4
    assert batch.numerics[:, 0].tolist() == [0.0] * 4
    assert batch.sequences["seen"].values.tolist() == []


def test_integer_users_keep_their_numbers(write):
    table = pa.table({**LOG, "user": [5, 2**60, 5, None]})
    encoder = Encoder(SCHEMA, Vocabulary.fit(SCHEMA, Source((write(table),))))
    assert encoder.encode(table).user.tolist() == [5, 2**60, 5, NO_USER]


def test_a_row_of_no_user_says_so_in_text_too(encoder):
    users = encoder.encode(changed(user=["u", None, "u", "w"])).user.tolist()
    assert users[1] == NO_USER
    assert NO_USER not in (users[0], users[3])


def test_a_vocabulary_of_another_schema_is_refused(encoder):
    other = replace(SCHEMA, features=(*FEATURES, Feature("iten", "categorical")))
    with pytest.raises(BundleError, match=r"feature 'iten' is not in the vocabulary.*Did you mean 'item'"):
        Encoder(other, encoder.vocabulary)


def test_a_loaded_vocabulary_encodes_alike(encoder, tmp_path):
    encoder.vocabulary.save(tmp_path)
    again = Encoder(SCHEMA, Vocabulary.load(tmp_path))
    assert again.layout == encoder.layout
    assert torch.equal(again.encode(pa.table(LOG)).ids, encoder.encode(pa.table(LOG)).ids)


def test_csv_gives_the_same_batch_as_parquet(schema, log, write, tmp_path):
    import polars as pl

    pl.DataFrame(log).write_csv(tmp_path / "log.csv")
    batches = []
    for path in (tmp_path / "log.csv", write(log)):
        source = Source((path,))
        encoder = Encoder(schema, Vocabulary.fit(schema, source))
        batches.append(encoder.encode(next(iter(source.tables()))))
    for name in ("ids", "numerics", "scenario", "labels", "user"):
        assert torch.equal(getattr(batches[0], name), getattr(batches[1], name)), name


def test_every_row_of_the_real_log_decodes_to_its_value(journey_small):
    schema = Schema(Keys("scenario"), (Feature("item_type", "categorical"),), (Task("buy", "buy"),))
    source = Source((journey_small,))
    encoder = Encoder(schema, Vocabulary.fit(schema, source))
    known = np.array(encoder.vocabulary.values["item_type"].array().to_pylist())
    for table in source.tables(encoder.columns()):
        batch = encoder.encode(table)
        assert (known[batch.ids[:, 0].numpy() - 2] == np.array(table["item_type"].to_pylist())).all()
        assert batch.label("buy").numpy().tolist() == table["buy"].to_pylist()


def test_a_null_label_of_a_strict_task_is_0_where_its_parent_did_not_happen(encoder):
    batch = encoder.encode(changed(click=[0, 1, None, 0], buy=[None, None, None, 0]))
    assert batch.label("buy").tolist() == [0.0, 0.0, 0.0, 0.0]
    assert batch.observed[:, 1].tolist() == [True, False, False, True]  # known only where nothing was clicked


def test_a_null_label_of_a_task_that_may_happen_without_its_parent_stays_unknown(write):
    loose = replace(SCHEMA, tasks=(SCHEMA.tasks[0], replace(SCHEMA.tasks[1], strict=False)))
    encoder = Encoder(loose, Vocabulary.fit(loose, Source((write(LOG),))))
    batch = encoder.encode(changed(click=[0, 1, 0, 0], buy=[None, 1, None, 0]))
    assert batch.observed[:, 1].tolist() == [False, True, False, True]


def test_csv_whose_values_happen_to_be_digits_is_read_as_when_it_was_fitted(tmp_path):
    path, new = tmp_path / "log.csv", tmp_path / "new.csv"
    path.write_text("tab,store,seen,click\n1,a7,3|5,0\n2,8,5,1\n", encoding="utf-8")
    new.write_text("tab,store,seen\n1,8,5\n", encoding="utf-8")
    schema = Schema(
        Keys("tab"), (Feature("store", "categorical"), Feature("seen", "sequence")), (Task("click", "click"),)
    )
    encoder = Encoder(schema, Vocabulary.fit(schema, Source((path,))))
    (table,) = Source((new,)).as_text(encoder.texts).tables()
    batch = encoder.encode(table, labels=False)
    expected = encoder.encode_rows([{"tab": "1", "store": "8", "seen": ["5"]}])
    assert torch.equal(batch.ids, expected.ids)
    assert batch.ids.min() > 1
    assert torch.equal(batch.sequences["seen"].values, expected.sequences["seen"].values)


def test_lists_in_csv_are_integers_where_the_ids_are(write, tmp_path):
    columns = {"tab": ["a"] * 4, "item": [7, 8, 9, 7], "seen": [[9, 7], None, [8], [7, 5]], "click": [0, 1, 0, 1]}
    features = (Feature("item", "categorical"), Feature("seen", "sequence", shares="item"))
    schema = Schema(Keys("tab"), features, (Task("click", "click"),))
    (tmp_path / "log.csv").write_text("tab,item,seen,click\na,7,9|7,0\na,8,,1\na,9,8,0\na,7,7|5,1\n", encoding="utf-8")
    (tmp_path / "bad.csv").write_text("tab,item,seen,click\na,7,9|x7,0\n", encoding="utf-8")
    sources = [Source((path,)).as_text(["seen"]) for path in (write(columns), tmp_path / "log.csv")]
    encoders = [Encoder(schema, Vocabulary.fit(schema, source)) for source in sources]
    batches = [encoder.encode(next(source.tables())) for encoder in encoders for source in sources]
    assert [one.array().to_pylist() for one in encoders[1].vocabulary.values.values()] == [[7, 8, 9, 5]]
    for batch in batches[1:]:
        assert torch.equal(batch.ids, batches[0].ids)
        assert torch.equal(batch.sequences["seen"].values, batches[0].sequences["seen"].values)
    bad = Source((tmp_path / "bad.csv",)).as_text(["seen"])
    for read in (lambda: Vocabulary.fit(schema, bad), lambda: encoders[0].encode(next(bad.tables()))):
        with pytest.raises(DataError, match=r"feature 'seen' has a list, written as text, with a value .*x7.*integers"):
            read()
