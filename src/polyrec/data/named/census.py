"""Census-income (KDD): income and marriage of Americans, the two tasks of the first multi-task papers."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from polyrec.data.named.dataset import Built, DataSet, RawFile, Sources
from polyrec.data.named.lines import tables
from polyrec.data.named.parts import Parts
from polyrec.errors import DataError
from polyrec.progress import Progress
from polyrec.schema import Feature, Keys, Schema, Task

COLUMNS = (
    "age", "class_of_worker", "industry", "occupation", "education", "wage_per_hour", "enrolled", "marital",
    "major_industry", "major_occupation", "race", "hispanic_origin", "sex", "union", "unemployment_reason",
    "employment", "capital_gains", "capital_losses", "dividends", "tax_filer", "previous_region", "previous_state",
    "household_detail", "household_summary", "instance_weight", "migration_msa", "migration_region",
    "migration_within_region", "same_house", "migration_sunbelt", "employer_size", "family_under_18",
    "birth_father", "birth_mother", "birth_self", "citizenship", "self_employed", "veteran_questionnaire",
    "veteran_benefits", "weeks_worked", "year", "income",
)  # fmt: skip
_NUMBERS = (
    "age", "wage_per_hour", "capital_gains", "capital_losses", "dividends", "employer_size", "weeks_worked",
)  # fmt: skip
_NO_FEATURES = ("marital", "instance_weight", "income")
_INCOMES = {"- 50000.": 0, "50000+.": 1}
_NEVER = "Never married"


def schema() -> Schema:
    """The declaration of the log: 39 features, all of the person's."""
    features = [
        Feature(name, "numeric" if name in _NUMBERS else "categorical", "user")
        for name in COLUMNS
        if name not in _NO_FEATURES
    ]
    return Schema(
        keys=Keys("survey"),
        features=tuple(features),
        tasks=(Task("income", "income_above_50k"), Task("never_married", "never_married")),
        scenarios=("census",),
    )


def build(sources: Sources, parts: Parts) -> Built:
    """The published training rows; of the published test rows, every other one validates."""
    for rows in _rows(_either(sources, "census-income.data"), sources.progress):
        parts.add("train", rows)
    at = 0
    for rows in _rows(_either(sources, "census-income.test"), sources.progress):
        even = pl.Series(range(at, at + rows.height), dtype=pl.Int64) % 2 == 0
        parts.add("valid", rows.filter(even))
        parts.add("test", rows.filter(~even))
        at += rows.height
    return Built(schema(), {name: [f"{name}.parquet"] for name in ("train", "valid", "test")})


def _either(sources: Sources, name: str) -> Path:
    return sources.files[name] if name in sources.files else sources.files[f"{name}.gz"]


def _rows(path: Path, progress: Progress | None) -> Iterator[pl.DataFrame]:
    for block in tables(path, dict.fromkeys(COLUMNS, pl.String), progress=progress):
        texts = block.with_columns(pl.all().str.strip_chars(" ").replace("?", None))
        strange = texts.filter(~pl.col("income").is_in(list(_INCOMES)).fill_null(False))
        if not strange.is_empty():
            raise DataError(
                f"{path}: income {strange['income'][0]!r} is none of {', '.join(map(repr, _INCOMES))}. "
                "Give the file of Census-Income (KDD), not that of Adult."
            )
        for name in _NUMBERS:
            wrong = texts.filter(pl.col(name).cast(pl.Int64, strict=False).is_null())
            if not wrong.is_empty():
                raise DataError(f"{path}: {name} = {wrong[name][0]!r} is not a whole number. Get it again.")
        yield texts.select(
            pl.lit("census").alias("survey"),
            *[pl.col(name).cast(pl.Int64) if name in _NUMBERS else name for name in COLUMNS if name != "income"],
            income_above_50k=pl.col("income").replace_strict(_INCOMES, return_dtype=pl.Int8),
            never_married=(pl.col("marital") == _NEVER).cast(pl.Int8),
        ).drop("marital", "instance_weight")


DATASET = DataSet(
    name="census-income",
    title="Census-Income (KDD)",
    where="https://archive.ics.uci.edu/dataset/117/census+income+kdd",
    unpack="census+income+kdd.zip holds census.tar.gz: unpack that too, for census-income.data and census-income.test. "
    "Older downloads have the two as .gz, which are read as they are.",
    terms="CC BY 4.0, with citation (https://doi.org/10.24432/C5N30T)",
    files=(
        RawFile("census-income.data", "199,523 training rows, 42 columns", either="data"),
        RawFile("census-income.data.gz", "the same, packed", either="data"),
        RawFile("census-income.test", "99,762 test rows", either="test"),
        RawFile("census-income.test.gz", "the same, packed", either="test"),
    ),
    scenarios="one, as in the papers",
    labels="income above 50,000; never married",
    split="train as published; the published test rows in halves (every other one), for validation and test",
    source="MMoE (Ma et al. 2018, group 1) and PLE; the papers halve at random",
    published={"census": 299_285},
    leaks=(
        "household_detail, household_summary, tax_filer and family_under_18 say much of whether a person married: "
        "papers keep them, and reach an AUC of 0.99",
        "instance_weight is the sampling weight: no feature, and left out",
        "some 47,000 training rows repeat or contradict another",
        "people are no impressions: this set compares multi-task models, nothing else",
    ),
    key="survey",
    label_columns=("income_above_50k", "never_married"),
    build=build,
)
