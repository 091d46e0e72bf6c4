"""Hotel bookings: two hotels, thirteen market segments as scenarios."""

from datetime import date
from pathlib import Path

import polars as pl

from polyrec.data.named.dataset import Built, DataSet, RawFile, Sources
from polyrec.data.named.parts import Parts
from polyrec.errors import DataError
from polyrec.schema import Feature, Keys, Schema, Task

VALID, TEST = date(2016, 8, 1), date(2016, 10, 1)  # first days of validation and test
_CATEGORIES = ("distribution_channel", "customer_type", "meal", "reserved_room_type", "agent", "company")
_NUMBERS = (
    "lead_time", "arrival_date_week_number", "stays_in_weekend_nights", "stays_in_week_nights", "adults", "children",
    "babies", "is_repeated_guest", "previous_cancellations", "previous_bookings_not_canceled", "adr",
)  # fmt: skip
_OUTCOMES = ("kept", "parking", "special_request")
_ARRIVAL = [f"arrival_date_{one}" for one in ("year", "month", "day_of_month")]
_RAW = ("is_canceled", "required_car_parking_spaces", "total_of_special_requests", *_ARRIVAL)


def schema() -> Schema:
    """The declaration of the log; deposit type and country are left out."""
    rare = {"agent": 3, "company": 3}
    features = [Feature(name, "categorical", min_count=rare.get(name, 1)) for name in _CATEGORIES]
    features += [Feature(name, "numeric", transform="quantile") for name in _NUMBERS]
    tasks = (Task("kept", "kept"), Task("parking", "parking", after="kept"))
    return Schema(Keys("place", time="booking_date"), tuple(features), tasks, unknown_scenario="shared")


def build(sources: Sources, parts: Parts) -> Built:
    """Bookings of a known segment, in the file's order."""
    path = next(sources[file.name] for file in DATASET.files if file.name in sources.files)
    rows = _prepared(path) if path.suffix == ".parquet" else _published(path)
    known = rows.filter(pl.col("market_segment") != "Undefined")
    place = pl.col("hotel").str.head(4) + "/" + pl.col("market_segment")
    columns = ("booking_date", "place", *_CATEGORIES, *_NUMBERS, *_OUTCOMES)
    parts.add("log", known.with_columns(place=place).select(columns))
    data = {"log": ["log.parquet"], "split": {"by": "time", "valid_from": VALID, "test_from": TEST}}
    lost = rows.height - known.height
    return Built(schema(), data, (f"{lost:,} rows of the segment 'Undefined' are left out",) if lost else ())


def _prepared(path: Path) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as reason:
        raise DataError(f"{path} cannot be read as parquet: {reason}. Get it again.") from reason
    _there(path, rows, ("booking_date", "hotel", "market_segment", *_CATEGORIES, *_NUMBERS, *_OUTCOMES))
    return rows


def _published(path: Path) -> pl.DataFrame:
    """The publisher's columns as ours: the day of booking is the day of arrival less the lead time."""
    whole = ("agent", "company", *(name for name in _NUMBERS if name != "adr"), *_RAW)
    kept = pl.col("is_canceled") == 0
    try:
        rows = pl.read_csv(path, infer_schema=False, null_values=["NULL", "NA", ""])
        _there(path, rows, ("hotel", "market_segment", *_CATEGORIES, *_NUMBERS, *_RAW))
        rows = rows.with_columns(pl.col(pl.String).str.strip_chars())
        rows = rows.with_columns(
            *[pl.col(name).cast(pl.Float64).cast(pl.Int64) for name in whole if name != "arrival_date_month"],
            pl.col("adr").cast(pl.Float64),
        )
        day = pl.concat_str(_ARRIVAL, separator=" ").str.to_date("%Y %B %d")
        return rows.with_columns(
            booking_date=day - pl.duration(days="lead_time"),
            kept=kept.cast(pl.Int8),
            parking=(kept & (pl.col("required_car_parking_spaces") > 0)).cast(pl.Int8),
            special_request=(pl.col("total_of_special_requests") > 0).cast(pl.Int8),
        )
    except pl.exceptions.PolarsError as reason:
        raise DataError(f"{path} cannot be read: {reason}. Give the file as it was published.") from reason


def _there(path: Path, rows: pl.DataFrame, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in rows.columns]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}. Give the file as it was published.")


DATASET = DataSet(
    name="hotel-bookings",
    title="Hotel booking demand",
    where="https://doi.org/10.1016/j.dib.2018.11.126; as one file hotel_bookings.csv on Kaggle "
    "(jessemostipak/hotel-booking-demand) or hotels.csv in TidyTuesday, 2020-02-11",
    terms="CC BY 4.0, with citation (Antonio, de Almeida, Nunes 2019)",
    files=(
        RawFile("bookings.parquet", "the log, prepared", either="log"),
        RawFile("hotel_bookings.csv", "119,390 bookings, 32 columns", either="log"),
        RawFile("hotels.csv", "the same", either="log"),
    ),
    scenarios="hotel and market segment, thirteen",
    labels="kept (not cancelled); parking after it",
    split="in time of booking: before August 2016 train, August and September validate, later ones test",
    source="ours: docs/results/hotel_bookings.md",
    leaks=(
        "deposit_type and country are set or corrected by the outcome, and are left out; so is what is known only "
        "at the end (reservation_status, assigned_room_type, booking_changes, days_in_waiting_list)",
        "a quarter of the rows repeat another: split in time, and take intervals as too narrow",
    ),
    key="place",
    label_columns=("kept", "parking"),
    build=build,
)
