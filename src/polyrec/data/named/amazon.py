"""Amazon reviews of 2014: categories of goods as scenarios."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from polyrec.data.named.dataset import Built, DataSet, RawFile, Sources
from polyrec.data.named.lines import blocks, tables
from polyrec.data.named.parts import Parts
from polyrec.errors import DataError
from polyrec.progress import Progress
from polyrec.schema import Feature, Keys, Schema, Task

_NAMES = (re.compile(r"reviews_(.+)_5\.json(?:\.gz)?"), re.compile(r"ratings_(.+)\.csv"))
_FIELDS = {"reviewerID": pl.String, "asin": pl.String, "overall": pl.Float64, "unixReviewTime": pl.Int64}
_COLUMNS = ("user_id", "item_id", "rating", "time")


def schema(categories: tuple[str, ...]) -> Schema:
    """The declaration of the log."""
    return Schema(
        keys=Keys("category", user="user_id", item="item_id", time="time"),
        features=(Feature("user_id", "categorical", "user"), Feature("item_id", "categorical", "item")),
        tasks=(Task("like", "like"),),
        scenarios=categories,
    )


def build(sources: Sources, parts: Parts) -> Built:
    """Every review of every category in the folder."""
    chosen, notes = _categories(sources)
    for category, path in chosen.items():
        read = _ratings if path.name.endswith(".csv") else _reviews
        for rows in read(path, sources.progress):
            parts.add(
                "log",
                rows.select(
                    pl.lit(category).alias("category"),
                    "user_id",
                    "item_id",
                    "time",
                    like=(pl.col("rating") > 3).cast(pl.Int8),
                ),
            )
    split = {"by": "random", "valid": 0.1, "test": 0.1}
    return Built(schema(tuple(chosen)), {"log": ["log.parquet"], "split": split}, tuple(notes))


def _categories(sources: Sources) -> tuple[dict[str, Path], list[str]]:
    """One file a category: of its 5-core and its ratings, the 5-core."""
    chosen: dict[str, Path] = {}
    notes = []
    for pattern in _NAMES:
        for name, path in sorted(sources.files.items()):
            found = pattern.fullmatch(name)
            if found and found[1] in chosen:
                notes.append(f"{name} is not read: {chosen[found[1]].name} is there")
            elif found:
                chosen[found[1]] = path
    return dict(sorted(chosen.items())), notes


def _reviews(path: Path, progress: Progress | None) -> Iterator[pl.DataFrame]:
    total = path.stat().st_size
    for block, done in blocks(path):
        try:
            rows = pl.read_ndjson(io.BytesIO(block), schema=_FIELDS)
        except pl.exceptions.PolarsError as reason:
            raise DataError(f"{path} cannot be read as lines of JSON: {reason}. Get it again.") from reason
        lost = rows.filter(pl.any_horizontal(pl.all().is_null()))
        if not lost.is_empty():
            raise DataError(
                f"{path}: a review lacks one of {', '.join(_FIELDS)}: {lost.row(0)}. Give the 5-core reviews of 2014."
            )
        yield rows.rename(dict(zip(_FIELDS, _COLUMNS, strict=True)))
        if progress is not None:
            progress(f"reading {path.name}", done, total)


def _ratings(path: Path, progress: Progress | None) -> Iterator[pl.DataFrame]:
    return tables(path, dict(zip(_COLUMNS, _FIELDS.values(), strict=True)), progress=progress)


DATASET = DataSet(
    name="amazon",
    title="Amazon reviews (2014)",
    where="https://jmcauley.ucsd.edu/data/amazon/ (the data of 2014)",
    unpack="Of each category reviews_Beauty_5.json.gz or the like, packed or not, or ratings_Beauty.csv. The data of "
    "2018 and 2023 have other names and columns, and are not read.",
    terms="research, with citation (He and McAuley 2016; McAuley et al. 2015)",
    files=(
        RawFile("reviews_*_5.json", "5-core reviews of a category", either="log", many=True),
        RawFile("reviews_*_5.json.gz", "the same, packed", either="log", many=True),
        RawFile("ratings_*.csv", "all ratings of a category, without a header", either="log", many=True),
    ),
    scenarios="the categories in the folder; in the benchmark Beauty, Clothing_Shoes_and_Jewelry and "
    "Health_and_Personal_Care",
    labels="like: rating above 3",
    split="at random, 80 / 10 / 10 %",
    source="Scenario-Wise Rec (arXiv 2412.17374): the three categories' 5-core, label, split",
    published={
        "Beauty": 198_502,
        "Clothing_Shoes_and_Jewelry": 278_677,
        "Health_and_Personal_Care": 346_355,
    },
    leaks=(
        "the 5-core keeps users and items by their whole history, test rows included",
        "a random split trains on the future of its test rows: for a split as in use, set split.by = 'time'",
        "reviewed goods were bought: these are not impressions",
    ),
    key="category",
    label_columns=("like",),
    build=build,
)
