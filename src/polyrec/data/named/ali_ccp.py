r"""Ali-CCP: 85 million impressions of a Taobao recommender, three positions as scenarios.

The publisher splits a row in two. A line of `sample_skeleton_*.csv` is `sample, click, conversion, key, count,
features`; the features of the user behind a key, the same for many rows, stand once in `common_features_*.csv` as
`key, count, features`. Features are `field \x02 id \x03 value`, parted by \x01. Neither file has a header.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from polyrec.data.named.dataset import Built, DataSet, RawFile, Sources
from polyrec.data.named.draw import drawn
from polyrec.data.named.lines import tables
from polyrec.data.named.parts import Parts
from polyrec.errors import DataError
from polyrec.progress import Progress
from polyrec.schema import Feature, Keys, Schema, Task

SCENARIO = "301"
USER = ("101", "121", "122", "124", "125", "126", "127", "128", "129")
ITEM = ("205", "206", "207", "216")
CROSSED = ("508", "509", "702", "853")  # the user's history with the item's category, shop, brand, intention
FIELDS = (*USER, *ITEM, *CROSSED, SCENARIO)
VALID = 0.1  # of the training rows, as AITM's code draws them
LEAST = 12  # rows of a value that AITM's code keeps: its counter starts at 0 and has to pass 10
_SKELETON = {"sample_id": pl.Int64, "click": pl.Int8, "conversion": pl.Int8, "key": pl.String, "count": pl.Int64}
_COMMON = {"key": pl.String, "count": pl.Int64, "features": pl.String}


def schema() -> Schema:
    """The declaration of the log; columns have the publisher's numbers."""
    user = [Feature(name, "categorical", "user", min_count=LEAST) for name in USER]
    item = [Feature(name, "categorical", "item", min_count=LEAST) for name in ITEM]
    crossed = [Feature(name, "categorical", "context", min_count=LEAST) for name in CROSSED]
    return Schema(
        keys=Keys(SCENARIO, user="101", item="205"),
        features=(*user, *item, *crossed),
        tasks=(Task("click", "click"), Task("conversion", "conversion", after="click")),
    )


def build(sources: Sources, parts: Parts) -> Built:
    """Training, validation and test rows; memory grows with the users' keys and not with the rows."""
    dropped = {"conversion without a click": 0, "no scenario": 0}
    for name in ("train", "test"):
        common = _users(sources[f"common_features_{name}.csv"], sources.progress)
        for rows in _rows(sources[f"sample_skeleton_{name}.csv"], common, sources.progress):
            orphan = (pl.col("click") == 0) & (pl.col("conversion") == 1)
            homeless = pl.col(SCENARIO).is_null()
            dropped["conversion without a click"] += rows.select(orphan.sum()).item()
            dropped["no scenario"] += rows.select((homeless & ~orphan).sum()).item()
            kept = rows.filter(~orphan & ~homeless)
            if name == "test":
                parts.add("test", kept)
                continue
            valid = drawn(kept["sample_id"], VALID)
            parts.add("train", kept.filter(~valid))
            parts.add("valid", kept.filter(valid))
    data = {name: [f"{name}.parquet"] for name in ("train", "valid", "test")}
    notes = tuple(f"{count:,} rows are left out: {why}" for why, count in dropped.items() if count)
    return Built(schema(), data, notes)


def _users(path: Path, progress: Progress | None) -> pl.DataFrame:
    """One row a key: the fields that are the user's; of a key given twice, the last."""
    users = pl.concat(_fields(block, path, "key") for block in tables(path, _COMMON, progress=progress))
    return users.unique("key", keep="last").drop("count")  # as the dictionaries of AITM's code


def _rows(path: Path, users: pl.DataFrame, progress: Progress | None) -> Iterator[pl.DataFrame]:
    """Rows in the file's order, with all fields; a field of the user stands before the row's own."""
    for block in tables(path, {**_SKELETON, "features": pl.String}, progress=progress):
        own = _fields(block, path, "sample_id")
        rows = own.join(users, on="key", how="left", maintain_order="left", suffix=":user")
        lost = block.filter(~pl.col("key").is_in(users["key"].implode()))
        if not lost.is_empty():
            raise DataError(
                f"{path}: sample {lost['sample_id'][0]} has the key {lost['key'][0]!r}, which the common features "
                "lack. The two files are not of one download: get them again together."
            )
        both = [pl.coalesce(f"{name}:user", name).alias(name) for name in FIELDS]
        yield rows.select("sample_id", "click", "conversion", *both)


def _fields(block: pl.DataFrame, path: Path, key: str) -> pl.DataFrame:
    """The wanted fields out of the text of features, each its id; of a field given twice, the last."""
    text = pl.col("features").fill_null("")
    ends, middles, starts = (text.str.count_matches(mark, literal=True) for mark in ("\x03", "\x02", "\x01"))
    broken = block.filter((ends != middles) | (ends != starts + (text != "").cast(pl.UInt32)))
    if not broken.is_empty():
        raise DataError(
            f"{path}: the features of {key} {broken[key][0]!r} are not field \\x02 id \\x03 value, parted by \\x01. "
            "Get it again as it was published."
        )
    block = block.with_columns(features="\x01" + text)
    marks = [pl.col("features").str.count_matches(f"\x01{name}\x02", literal=True).max().alias(name) for name in FIELDS]
    most = block.select(marks).row(0, named=True)
    found = [pl.col("features").str.extract(_pattern(name, last=(most[name] or 0) > 1)).alias(name) for name in FIELDS]
    texts = block.select(pl.exclude("features"), *found)
    numbers = texts.with_columns(pl.col(name).cast(pl.Int64, strict=False) for name in FIELDS)
    for name in FIELDS:
        wrong = texts.filter(pl.col(name).is_not_null() & numbers[name].is_null())
        if not wrong.is_empty():
            raise DataError(
                f"{path}: field {name} of {key} {wrong[key][0]!r} is {wrong[name][0]!r}, not a whole number. "
                "Get it again as it was published."
            )
    return numbers


def _pattern(name: str, *, last: bool) -> str:
    return ("(?s)^.*" if last else "") + f"\x01{name}\x02([^\x03]*)\x03"


DATASET = DataSet(
    name="ali-ccp",
    title="Ali-CCP",
    where="https://tianchi.aliyun.com/dataset/408 (an account is needed)",
    unpack="Unpack sample_train.tar.gz and sample_test.tar.gz.",
    terms="those that Tianchi shows for the data set; cite Ma et al. 2018 (ESMM)",
    files=(
        RawFile("sample_skeleton_train.csv", "some 42 million training rows, 10 GB"),
        RawFile("common_features_train.csv", "the users of the training rows, 9 GB"),
        RawFile("sample_skeleton_test.csv", "some 43 million test rows"),
        RawFile("common_features_test.csv", "the users of the test rows"),
    ),
    scenarios="field 301, the position: its three values",
    labels="click; conversion after the click",
    split="train and test as published, in time; a tenth of the training rows at random validates",
    source="AITM's code (18 fields, values of 12 rows and more, rows left out); scenarios and counts of "
    "Scenario-Wise Rec (arXiv 2412.17374)",
    published=(32_236_951, 639_897, 52_439_671),
    leaks=(
        "fields of many values (109_14, 110_14, 127_14, 150_14, 210) are left out, as in AITM",
        "fields 508, 509, 702 and 853 cross the user's past with the item: whether that past ends before the row, "
        "the publisher does not say",
        "rows have no time: the validation rows are not later than the training rows, the test rows are",
    ),
    key=SCENARIO,
    label_columns=("click", "conversion"),
    build=build,
)
