"""MovieLens-1M: ratings of films, three groups of age as scenarios."""

import polars as pl

from polyrec.data.named.dataset import Built, DataSet, RawFile, Sources
from polyrec.data.named.lines import tables
from polyrec.data.named.parts import Parts
from polyrec.errors import DataError
from polyrec.schema import Feature, Keys, Schema, Task

_GROUPS = {"under-25": (1, 18), "25-34": (25,), "35-plus": (35, 45, 50, 56)}  # the file's codes of age
_RATINGS = {"user_id": pl.Int32, "movie_id": pl.Int32, "rating": pl.Int8, "timestamp": pl.Int64}
_USERS = {"user_id": pl.Int32, "gender": pl.String, "age": pl.Int8, "occupation": pl.Int8, "zip": pl.String}
_MOVIES = {"movie_id": pl.Int32, "title": pl.String, "genres": pl.String}


def schema() -> Schema:
    """The declaration of the log."""
    user = [Feature(name, "categorical", "user") for name in ("user_id", "gender", "age", "occupation", "zip")]
    item = [Feature(name, "categorical", "item") for name in ("movie_id", "genre")]
    return Schema(
        keys=Keys("age_group", user="user_id", item="movie_id", time="timestamp"),
        features=(*user, *item),
        tasks=(Task("click", "click"), Task("like", "like")),
        scenarios=tuple(_GROUPS),
    )


def build(sources: Sources, parts: Parts) -> Built:
    """Every rating with its user and its film."""
    users = pl.concat(tables(sources["users.dat"], _USERS, separator="::"))
    users = users.with_columns(age_group=_group(users))
    movies = pl.concat(tables(sources["movies.dat"], _MOVIES, separator="::", encoding="latin-1"))
    movies = movies.select("movie_id", genre=pl.col("genres").str.split("|").list.first())
    for ratings in tables(sources["ratings.dat"], _RATINGS, separator="::", progress=sources.progress):
        rows = ratings.join(users, on="user_id", how="left", maintain_order="left")
        rows = rows.join(movies, on="movie_id", how="left", maintain_order="left")
        _known(rows, "age_group", "user_id", "users.dat")
        _known(rows, "genre", "movie_id", "movies.dat")
        rows = rows.with_columns(click=(pl.col("rating") > 3).cast(pl.Int8), like=(pl.col("rating") > 4).cast(pl.Int8))
        parts.add("log", rows.drop("rating"))
    return Built(schema(), {"log": ["log.parquet"], "split": {"by": "random", "valid": 0.1, "test": 0.1}})


def _group(users: pl.DataFrame) -> pl.Series:
    names = {code: name for name, codes in _GROUPS.items() for code in codes}
    strange = users.filter(~pl.col("age").is_in(list(names)))
    if not strange.is_empty():
        raise DataError(
            f"users.dat: user {strange['user_id'][0]} has age {strange['age'][0]}, which is none of "
            f"{', '.join(map(str, names))}. Give MovieLens-1M's file: other MovieLens sets have other columns."
        )
    return users["age"].replace_strict(list(names), list(names.values()), return_dtype=pl.String)


def _known(rows: pl.DataFrame, column: str, key: str, file: str) -> None:
    lost = rows.filter(pl.col(column).is_null())
    if not lost.is_empty():
        raise DataError(
            f"ratings.dat has {key} {lost[key][0]}, which {file} does not. The files are not of one download: "
            "get them again together."
        )


DATASET = DataSet(
    name="movielens-1m",
    title="MovieLens-1M",
    where="https://grouplens.org/datasets/movielens/1m/",
    unpack="Unpack ml-1m.zip.",
    terms="research, with citation (Harper and Konstan 2015); no redistribution, no commercial use without permission",
    files=(
        RawFile("ratings.dat", "1,000,209 ratings", bytes=24_594_131),
        RawFile("users.dat", "6,040 users", bytes=134_368),
        RawFile("movies.dat", "3,883 films, latin-1", bytes=171_308),
        RawFile("ml-1m.zip", "the archive itself", optional=True, md5="c4d9eecfca2ab87c1945afe126590906"),
    ),
    scenarios="three groups of the user's age: under 25, 25 to 34, 35 and above",
    labels="click: rating above 3; like: rating above 4; both on every row",
    split="at random, 80 / 10 / 10 %",
    source="AutoIFS; scenarios and click also in Scenario-Wise Rec (arXiv 2412.17374)",
    published={"under-25": 210_747, "25-34": 395_556, "35-plus": 393_906},
    leaks=(
        "a random split trains on the future of its test rows: for a split as in use, set split.by = 'time'",
        "rated films were watched: these are not impressions, and 'click' is a rating",
    ),
    key="age_group",
    label_columns=("click", "like"),
    build=build,
)
