import json
from datetime import datetime, timedelta
from io import StringIO

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from polyrec.data.inspection import inspect, render
from polyrec.data.inspection.names import outcome_like, step, words
from polyrec.errors import DataError
from polyrec.schema import Feature, Keys, Schema, Task


def world(rows=6000, seed=0):
    """A log as a shop writes it: a funnel of three labels, users and items with columns of their own."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 200, rows), rng.integers(0, 80, rows)
    click = rng.random(rows) < 0.3
    cart = click & (rng.random(rows) < 0.5)
    buy = cart & (rng.random(rows) < 0.6)
    return pl.DataFrame({
        "user_id": user,
        "video_id": item,
        "tab": np.array(["home", "feed", "search"])[rng.integers(0, 3, rows)],
        "request_id": rng.integers(0, rows // 10, rows),
        "event_time": [datetime(2024, 1, 1) + timedelta(minutes=i) for i in range(rows)],
        "day": np.arange(rows) * 30 // rows,
        "gender": np.array(["f", "m"])[user % 2],
        "brand": np.array([f"b{i}" for i in range(80)])[item // 2],
        "price": np.round(np.exp(rng.normal(3, 1.2, 80))[item], 2),
        "hour": rng.integers(0, 24, rows),
        "position": rng.integers(0, 40, rows),
        "prev_clicks": rng.poisson(3, rows),
        "is_weekend": rng.integers(0, 2, rows),
        "is_click": click.astype(np.int8),
        "is_cart": cart.astype(np.int8),
        "is_buy": buy.astype(np.int8),
    })  # fmt: skip


COLUMNS = world(100).columns


@pytest.fixture
def look(tmp_path):
    def look_at(frame, schema=None, **options):
        path = tmp_path / "log.parquet"
        frame.write_parquet(path)
        return inspect([path], schema, **options)

    return look_at


def test_names_are_taken_apart_into_words():
    assert words("lastClickTS") == ("last", "click", "ts")
    assert words("n_buys-28d") == ("n", "buys", "28d")


@pytest.mark.parametrize(("name", "outcome"), [
    ("is_click", True), ("Purchased", True), ("rebuy28", True), ("kept", True), ("parking", True), ("label", True),
    ("prev_buys", False), ("is_weekend", False), ("display", False), ("is_repeated_guest", False), ("ctr", False),
])  # fmt: skip
def test_an_outcome_is_told_from_a_circumstance_by_its_name(name, outcome):
    assert outcome_like(name) is outcome


def test_a_funnel_step_is_that_of_the_last_telling_word():
    assert step("click_to_buy") == step("buy")
    assert step("colour") is None


def test_keys_are_found_by_name_and_content(look):
    keys = look(world()).schema.keys
    assert keys == Keys("tab", user="user_id", item="video_id", time="event_time", group="request_id")


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical])
@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%S+02:00"])
def test_iso_text_is_a_time_and_its_order_is_seen(look, form, kind):
    written = world().with_columns(pl.col("event_time").dt.strftime(form).cast(kind)).drop("day", "hour")
    found = look(written)
    assert found.schema.keys.time == "event_time"
    assert "rows are in its order" in next(said for said in found.choices if said.startswith("time"))
    assert "time_unsorted" not in {one.kind for one in found.findings}
    shuffled = look(written.sample(fraction=1.0, shuffle=True, seed=0))
    assert shuffled.schema.keys.time == "event_time"
    assert "time_unsorted" in {one.kind for one in shuffled.findings}


def test_text_that_is_partly_a_date_or_of_two_zones_is_no_time(look):
    log = world(500).drop("event_time", "day", "hour")
    mixed = ["2024-01-01", "last week"] * 250
    zones = [f"2024-01-01T10:00:00{zone}" for zone in ("Z", "+02:00")] * 250
    for texts in (mixed, zones, [None] * 500):
        column = pl.Series("event_date", texts, dtype=pl.String)
        assert look(log.with_columns(column)).schema.keys.time is None


def test_a_date_in_text_is_no_guess_for_the_scenario(look):
    log = world(2000).drop("tab", "event_time", "position").rename({"gender": "kind", "brand": "other"})
    log = log.select(pl.Series("opened", [f"2024-01-0{1 + row % 2}" for row in range(2000)]), pl.all())
    assert look(log).schema.keys.scenario == "kind"


def test_a_funnel_is_read_from_labels_that_imply_one_another(look):
    tasks = look(world()).schema.tasks
    assert tasks == (
        Task("click", "is_click"),
        Task("cart", "is_cart", after="click"),
        Task("buy", "is_buy", after="cart"),
    )


def test_labels_that_do_not_imply_one_another_stand_side_by_side(look):
    frame = world().with_columns(is_like=(pl.int_range(pl.len()) % 4 == 0).cast(pl.Int8))
    by_name = {task.name: task for task in look(frame).schema.tasks}
    assert by_name["like"].after is None
    assert by_name["buy"].after == "cart"


def test_a_child_that_seldom_lacks_its_parent_is_loosely_after_it(look):
    frame = world().drop("is_cart")
    orphan = (pl.int_range(pl.len()) % 300 == 0) & (pl.col("is_click") == 0)
    found = look(frame.with_columns(is_buy=pl.when(orphan).then(1).otherwise("is_buy").cast(pl.Int8)))
    assert found.schema.tasks[1] == Task("buy", "is_buy", after="click", strict=False)
    finding = next(one for one in found.findings if one.kind == "orphans")
    assert finding.severity == "info"
    assert finding.columns == ("is_buy", "is_click")


def test_three_lucky_positives_make_no_funnel(look):
    frame = world()
    lucky = np.zeros(6000, np.int8)
    lucky[np.flatnonzero(frame["is_click"].to_numpy())[:3]] = 1
    found = look(frame.with_columns(is_share=pl.Series(lucky)))
    assert {task.name: task.after for task in found.schema.tasks}["share"] is None


def test_features_get_kind_side_and_transform_from_what_they_hold(look):
    features = {feature.name: feature for feature in look(world()).schema.features}
    assert features["user_id"] == Feature("user_id", "categorical", "user")
    assert features["video_id"] == Feature("video_id", "categorical", "item")
    assert features["gender"] == Feature("gender", "categorical", "user")
    assert features["brand"] == Feature("brand", "categorical", "item")
    assert features["price"] == Feature("price", "numeric", "item", transform="log")
    assert features["hour"] == Feature("hour", "categorical", "context")
    assert features["position"] == Feature("position", "numeric", "context", transform="standard")
    assert features["prev_clicks"].kind == "numeric"
    assert features["is_weekend"] == Feature("is_weekend", "categorical", "context")


def test_columns_that_are_no_features_have_a_reason(look):
    frame = world().with_columns(
        pl.lit("x").alias("country"),
        pl.Series("note", [f"note {i}" for i in range(6000)]),
        pl.lit(None, pl.Float64).alias("empty"),
        pl.Series("arrival", [datetime(2024, 1, 1 + i % 28) for i in range(6000)]),
        pl.Series("parts", [{"a": 1}] * 6000),
    )
    frame = frame.select("country", "note", "empty", "arrival", "parts", pl.all().exclude(
        "country", "note", "empty", "arrival", "parts"))  # fmt: skip
    excluded = look(frame).excluded
    assert excluded["country"] == "the same value in every row"
    assert excluded["note"].startswith("names each row")
    assert excluded["empty"] == "null in every row"
    assert excluded["arrival"].startswith("a date")
    assert excluded["day"].startswith("grows with time")
    assert excluded["parts"].startswith("type Struct")
    assert excluded["tab"] == "the scenario"


def test_lists_become_sequences_and_vectors(look):
    rng = np.random.default_rng(0)
    frame = world().with_columns(
        pl.Series("seen", [list(range(i % 5)) for i in range(6000)]),
        pl.Series("image", rng.normal(size=(6000, 4)).tolist()),
        pl.Series("ragged", [[0.5] * (1 + i % 3) for i in range(6000)]),
        pl.Series("tags", ["a|b", "c|a|b", "b|c"] * 2000),
    ).select("seen", "image", "ragged", "tags", *COLUMNS)  # fmt: skip
    found = look(frame)
    assert found.schema.feature("seen").kind == "sequence"
    assert found.schema.feature("tags").kind == "sequence"
    assert found.schema.feature("image") == Feature("image", "vector", size=4)
    assert "ragged" in found.excluded


def test_the_inferred_schema_reads_back_with_its_comments(look, tmp_path):
    found = look(world())
    path = tmp_path / "schema.toml"
    path.write_text(found.to_toml(), encoding="utf-8")
    assert Schema.load(path) == found.schema
    assert "#   day: grows with time" in found.to_toml()
    path.write_text(found.schema.to_toml(), encoding="utf-8")
    assert Schema.load(path) == found.schema


def test_rows_of_the_log_encode_under_the_inferred_schema(look, tmp_path):
    from polyrec.data.encode import Encoder
    from polyrec.data.files import Source
    from polyrec.data.vocabulary import Vocabulary

    schema = look(world()).schema
    source = Source((tmp_path / "log.parquet",))
    encoder = Encoder(schema, Vocabulary.fit(schema, source))
    batch = encoder.encode(next(iter(source.tables(encoder.columns()))))
    assert batch.scenario.min() >= 0
    assert batch.ids.min() >= 1


def test_cells_count_rows_and_positives_in_their_space(look):
    frame = world()
    cells = {(cell.scenario, cell.task, cell.space): cell for cell in look(frame).cells}
    home = frame.filter(pl.col("tab") == "home")
    carted = home.filter(pl.col("is_cart") == 1)
    assert cells["home", "buy", "all"].rows == len(home)
    assert cells["home", "buy", "cart"].rows == len(carted)
    assert cells["home", "buy", "cart"].positives == carted["is_buy"].sum()
    assert len(cells) == 3 * (1 + 2 + 2)


def test_without_a_telling_name_the_scenario_is_a_guess_and_said_to_be_one(look):
    found = look(world().rename({"tab": "kind_of_thing"}).drop("gender", "position", "brand"))
    assert found.schema.keys.scenario == "kind_of_thing"
    assert any(one.kind == "guess" and one.columns == ("kind_of_thing",) for one in found.findings)


def test_without_a_telling_name_labels_are_the_last_binary_columns_and_said_to_be_guessed(look):
    frame = world().drop("is_click", "is_buy").rename({"is_cart": "zed"}).drop("is_weekend")
    found = look(frame)
    assert [task.label for task in found.schema.tasks] == ["zed"]
    assert any(one.kind == "guess" and one.columns == ("zed",) for one in found.findings)


def test_a_log_without_a_scenario_is_refused_with_a_remedy(look):
    frame = world().select("user_id", "price", "is_click")
    with pytest.raises(DataError, match=r"no column can be the scenario: none of user_id, price .* \[keys\] scenario"):
        look(frame)


def test_a_log_without_a_label_is_refused_with_a_remedy(look):
    frame = world().select("is_weekend", "tab", "price")
    with pytest.raises(DataError, match="no column can be a label: is_weekend hold 0 and 1"):
        look(frame)


def test_a_log_with_nothing_but_keys_and_labels_is_refused(look):
    with pytest.raises(DataError, match="no column is left as a feature: tab: the scenario"):
        look(world().select("tab", "is_click"))


def test_an_empty_table_is_refused(look):
    with pytest.raises(DataError, match="no rows"):
        look(world().clear())


@pytest.mark.parametrize(("name", "content", "said"), [
    ("none.parquet", b"", "is empty"),
    ("cut.parquet", b"PAR1 and then nothing", "cannot be read as parquet"),
    ("latin.csv", "tab,is_click\nhäuser,1\n".encode("latin-1"), "is not UTF-8"),
])  # fmt: skip
def test_an_unreadable_file_is_refused_with_its_name(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}.* {said}"):
        inspect([tmp_path / name])


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        inspect([tmp_path / "nowhere.parquet"])


def test_a_sample_of_nothing_is_refused(look):
    with pytest.raises(DataError, match="sample = 0"):
        look(world(), sample=0)


def test_csv_is_read_like_parquet(tmp_path, look):
    frame = world()
    path = tmp_path / "log.csv"
    frame.write_csv(path)
    assert inspect([path]).schema.keys == look(frame).schema.keys


def test_several_files_are_one_log(tmp_path, look):
    frame = world()
    frame.head(2000).write_parquet(tmp_path / "a1.parquet")
    frame.tail(4000).write_parquet(tmp_path / "a2.parquet")
    found = inspect([tmp_path / "a*.parquet"])
    assert found.rows == 6000
    assert found.schema == look(frame).schema


def test_a_given_schema_is_held_against_the_log_and_kept(look):
    schema = Schema(Keys("tab"), (Feature("price", "numeric"),), (Task("click", "is_click"),))
    found = look(world(), schema)
    assert found.schema == schema
    assert not found.inferred
    assert found.excluded["brand"] == "not in the schema"


def test_a_given_schema_that_names_a_missing_column_is_refused(look):
    schema = Schema(Keys("tab"), (Feature("prize", "numeric"),), (Task("click", "is_click"),))
    with pytest.raises(DataError, match=r"column 'prize' is not in .* Did you mean 'price'"):
        look(world(), schema)


def test_an_inspection_is_json_and_prints_every_column_and_finding(look):
    found = look(world().with_columns(pl.lit("x").alias("country")))
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["rows"] == 6000
    page = StringIO()
    render(found, Console(file=page, width=200))
    shown = page.getvalue()
    for name in COLUMNS:
        assert name in shown
    assert "country is 'x' in every row" in shown
    assert "buy given cart" in shown


def test_brackets_in_names_are_printed_as_they_are(look):
    page = StringIO()
    frame = world().rename({"price": "price [bold]"})
    render(look(frame), Console(file=page, width=200))
    assert "price [bold]" in page.getvalue()


def test_a_sample_gives_the_schema_of_the_whole(look):
    frame = world(30_000)
    assert look(frame, sample=6000).schema == look(frame).schema
