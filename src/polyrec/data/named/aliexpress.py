"""AliExpress: result pages of a shop's search in four countries, which are the scenarios."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from polyrec.data.named.dataset import Built, DataSet, RawFile, Sources
from polyrec.data.named.draw import drawn
from polyrec.data.named.lines import Kind, tables
from polyrec.data.named.match import matched
from polyrec.data.named.parts import Parts
from polyrec.errors import DataError
from polyrec.progress import Progress
from polyrec.schema import Feature, Keys, Schema, Task

COUNTRIES = ("NL", "ES", "FR", "US")
VALID = 0.1
_PAGE = "search_id"  # the first column of both files
_USER = tuple(f"user_{place}" for place in range(2, 34))
_ITEM = tuple(f"item_{place}" for place in range(2, 49))
_USER_CATEGORIES = tuple(f"user_{place}" for place in (*range(2, 9), 32, 33))
_ITEM_CATEGORIES = tuple(f"item_{place}" for place in (19, 34, 35, 36, 40, 41, 42))
_LABEL = "item_49"  # 0 seen, 1 clicked, 2 bought
_USERS: dict[str, Kind] = {
    _PAGE: pl.String,
    **{name: pl.Float64 if name in _USER_CATEGORIES else pl.Float32 for name in _USER},
}
_ITEMS: dict[str, Kind] = {
    _PAGE: pl.String,
    **{name: pl.Float64 if name in _ITEM_CATEGORIES else pl.Float32 for name in _ITEM},
    _LABEL: pl.Float64,
}


def schema(countries: tuple[str, ...]) -> Schema:
    """The declaration of the log; columns are numbered as in the files."""
    features = [Feature(name, "categorical", "user") for name in _USER_CATEGORIES]
    features += [Feature(name, "numeric", "user") for name in _USER if name not in _USER_CATEGORIES]
    features += [Feature(name, "categorical", "item") for name in _ITEM_CATEGORIES]
    features += [Feature(name, "numeric", "item") for name in _ITEM if name not in _ITEM_CATEGORIES]
    return Schema(
        keys=Keys("country", group=_PAGE),
        features=tuple(features),
        tasks=(Task("click", "click"), Task("conversion", "conversion", after="click")),
        scenarios=countries,
    )


def build(sources: Sources, parts: Parts) -> Built:
    """Training, validation and test rows; memory grows with the result pages of one file, not with the rows.

    Rows of an unknown page are left out, as the join of the benchmark's code leaves them out, and counted.
    """
    lost = [0]
    countries = tuple(one for one in COUNTRIES if f"{one.lower()}_item_train.csv" in sources.files)
    for country in countries:
        for name in ("train", "test"):
            pages = _pages(sources[f"{country.lower()}_user_{name}.csv"], sources.progress)
            for rows in _rows(sources[f"{country.lower()}_item_{name}.csv"], pages, country, lost, sources.progress):
                if name == "test":
                    parts.add("test", rows)
                    continue
                valid = drawn(rows[_PAGE], VALID)
                parts.add("train", rows.filter(~valid))
                parts.add("valid", rows.filter(valid))
    notes = (f"{lost[0]:,} rows are left out: their page has no user",) if lost[0] else ()
    return Built(schema(countries), {name: [f"{name}.parquet"] for name in ("train", "valid", "test")}, notes)


def _pages(path: Path, progress: Progress | None) -> pl.DataFrame:
    """One row a result page."""
    pages = pl.concat(_whole(block, path) for block in tables(path, _USERS, progress=progress)).unique()
    twice = pages.filter(pl.col(_PAGE).is_duplicated())
    if not twice.is_empty():
        raise DataError(f"{path} has the page {twice[_PAGE].min()!r} more than once, each time another. Get it again.")
    return pages


def _rows(
    path: Path, pages: pl.DataFrame, country: str, lost: list[int], progress: Progress | None
) -> Iterator[pl.DataFrame]:
    for block in tables(path, _ITEMS, progress=progress):
        strange = block.filter(~pl.col(_LABEL).is_in([0.0, 1.0, 2.0]).fill_null(False))
        if not strange.is_empty():
            raise DataError(
                f"{path}: the last column of page {strange[_PAGE][0]!r} is {strange[_LABEL][0]:g}; it is 0 (seen), "
                "1 (clicked) or 2 (bought). Give the file as it was published."
            )
        known = matched(_whole(block, path), _PAGE, pages, path)
        lost[0] += len(block) - len(known)
        rows = known.join(pages, on=_PAGE, how="left", maintain_order="left")
        label = pl.col(_LABEL)
        yield rows.select(
            pl.lit(country).alias("country"),
            _PAGE,
            *_USER,
            *_ITEM,
            click=(label >= 1).cast(pl.Int8),
            conversion=(label == 2).cast(pl.Int8),
        )


def _whole(block: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Categories as whole numbers: some are written as 3.0."""
    names = [name for name in (*_USER_CATEGORIES, *_ITEM_CATEGORIES) if name in block.columns]
    for name in names:
        broken = block.filter((pl.col(name) != pl.col(name).round()) | (pl.col(name).abs() >= 2**53))
        if not broken.is_empty():
            raise DataError(
                f"{path}: {name} = {broken[name][0]} is not a whole number, and it is a category. "
                "Give the file as it was published."
            )
    return block.with_columns(pl.col(name).cast(pl.Int64) for name in names)


def _files() -> Iterator[RawFile]:
    for country in COUNTRIES:
        for name in ("train", "test"):
            for side, what in (("item", "items shown, 49 columns"), ("user", "users and queries, 33 columns")):
                yield RawFile(f"{country.lower()}_{side}_{name}.csv", f"{country}: {what}", whole=country)


DATASET = DataSet(
    name="aliexpress",
    title="AliExpress Searching System",
    where="https://tianchi.aliyun.com/dataset/74690 (an account is needed)",
    unpack="Unpack aliexpress_NL_datasets.zip (ES, FR, US; one country is enough) and the four archives in each. The "
    "publisher's md5.txt, which we have not seen, has checksums of the archives.",
    terms="those that Tianchi shows for the data set; cite Li et al. 2020 (CIKM)",
    files=tuple(_files()),
    scenarios="the countries in the folder, of NL, ES, FR and US (the publisher's fifth, RU, is not in the papers)",
    labels="click; conversion after the click",
    split="train and test as published, in time; a tenth of the training pages at random validates (ours: papers "
    "that stop on the test rows are a little too good)",
    source="MTReclib's code: which columns are categories; countries as one log is ours",
    leaks=(
        "there is no id of a user: metrics within users cannot be counted, those within a page can",
        "columns have no names: whether some are counted over days that hold the row itself cannot be seen",
    ),
    key="country",
    label_columns=("click", "conversion"),
    build=build,
)
