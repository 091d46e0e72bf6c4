"""Douban: ratings of books, music and films by the same people; the kind is the scenario."""

from pathlib import Path

import polars as pl

from polyrec.data.named.dataset import Built, DataSet, RawFile, Sources
from polyrec.data.named.parts import Parts
from polyrec.data.named.quoted import quoted
from polyrec.errors import DataError
from polyrec.schema import Feature, Keys, Schema, Task

KINDS = ("book", "music", "movie")


def schema() -> Schema:
    """The declaration of the log."""
    return Schema(
        keys=Keys("kind", user="user_id", item="item_id", time="time"),
        features=(
            Feature("user_id", "categorical", "user"),
            Feature("living_place", "categorical", "user"),
            Feature("join_month", "categorical", "user"),
            Feature("item_id", "categorical", "item"),
        ),
        tasks=(Task("like", "like"),),
        scenarios=KINDS,
    )


def build(sources: Sources, parts: Parts) -> Built:
    """Every rating with its user; items of two kinds never share an id."""
    users = _read(
        sources["users_cleaned.txt"], {"UID": "user_id", "living_place": "living_place", "join_time": "joined"}
    )
    users = users.unique("user_id", keep="first", maintain_order=True)
    users = users.select("user_id", "living_place", join_month=pl.col("joined").str.head(7))
    bare = 0
    for place, kind in enumerate(KINDS):
        path = sources[f"{kind}reviews_cleaned.txt"]
        rows = _read(path, {"user_id": "user_id", f"{kind}_id": "item_id", "rating": "rating", "time": "time"})
        stars = rows["rating"].cast(pl.Float64, strict=False)
        wrong = rows.filter(pl.col("rating").is_not_null() & stars.is_null())
        if not wrong.is_empty():
            raise DataError(f"{path}: rating {wrong['rating'][0]!r} is not a number. Get it again as it was published.")
        bare += stars.null_count()
        rows = rows.join(users, on="user_id", how="left", maintain_order="left")
        parts.add(
            "log",
            rows.select(
                pl.lit(kind).alias("kind"),
                "user_id",
                pl.concat_str(pl.lit(f"{kind}:"), "item_id").alias("item_id"),
                "living_place",
                "join_month",
                pl.col("time").str.head(10).str.to_date("%Y-%m-%d", strict=False),
                like=(stars > 3).cast(pl.Int8),
            ),
        )
        if sources.progress is not None:
            sources.progress("reading kinds", place + 1, len(KINDS))
    split = {"by": "random", "valid": 0.1, "test": 0.1}
    notes = (f"{bare:,} reviews have no rating: their label is not observed",) if bare else ()
    return Built(schema(), {"log": ["log.parquet"], "split": split}, notes)


def _read(path: Path, columns: dict[str, str]) -> pl.DataFrame:
    rows = quoted(path, columns)
    first = next(iter(columns.values()))
    if rows[first].null_count():
        raise DataError(f"{path} has a row without {first}. It may be cut off: get it again.")
    return rows


DATASET = DataSet(
    name="douban",
    title="Douban",
    where="https://www.kaggle.com/datasets/fengzhujoey/douban-datasetratingreviewside-information",
    unpack="Unpack it; the files are in 'douban_dataset(text information)'.",
    terms="those that Kaggle shows for the data set; cite Zhu et al. 2019 (DTCDR) and 2020 (GA-DTCDR)",
    files=(
        RawFile("bookreviews_cleaned.txt", "ratings of books"),
        RawFile("musicreviews_cleaned.txt", "ratings of music"),
        RawFile("moviereviews_cleaned.txt", "ratings of films"),
        RawFile("users_cleaned.txt", "users"),
    ),
    scenarios="three kinds: book, music, movie",
    labels="like: rating above 3",
    split="at random, 80 / 10 / 10 %",
    source="Scenario-Wise Rec (arXiv 2412.17374): kinds, label, features, split",
    published={"book": 227_251, "music": 179_847, "movie": 1_278_401},
    leaks=(
        "comments, tags and votes of a review come with its rating, and are left out",
        "a random split trains on the future of its test rows: for a split as in use, set split.by = 'time' "
        "(where no time is missing)",
        "rated goods were chosen: these are not impressions",
    ),
    key="kind",
    label_columns=("like",),
    build=build,
)
