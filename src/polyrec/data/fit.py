"""One pass over the training rows: counts of values, moments of numbers, names of scenarios."""

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from polyrec.data.counted import Counted
from polyrec.data.files import Source
from polyrec.data.gathered import Gathered
from polyrec.data.numbers import Tally
from polyrec.data.places import few
from polyrec.data.spill import Space
from polyrec.errors import DataError, unknown
from polyrec.progress import Progress, told
from polyrec.schema import Schema


@dataclass(frozen=True)
class Findings:
    """What one pass found: counts by the feature that owns the ids, tallies by numeric feature."""

    rows: int
    scenarios: tuple[str, ...]
    counts: dict[str, Counted]
    tallies: dict[str, Tally]


class Find(Protocol):
    """What finds: `find` in this process, or one that deals the rows to others and finds the same."""

    def __call__(
        self, schema: Schema, source: Source, space: Space, progress: Progress | None = None, *, gaps: bool = False
    ) -> Findings:
        """See `find`."""


def find(
    schema: Schema, source: Source, space: Space, progress: Progress | None = None, *, gaps: bool = False
) -> Findings:
    """Read the features and the scenario of every row once; `progress` is told. `gaps`: features may be all null.

    Counts that are more than `space` lets memory hold lie there.

    Raises:
        DataError: no rows; a column is missing, of the wrong type or all null; a scenario is null or undeclared.
        NotReadyError: the disk is full.
    """
    found = Gathered(schema, space)
    source.require(found.columns)
    tables = source.tables(found.columns)
    for table in told(progress, "reading training rows", tables, source.rows() if progress else 0):
        found.add(table)
    return judged(found, source, gaps=gaps)


def judged(found: Gathered, source: Source, *, gaps: bool = False) -> Findings:
    """What was gathered from all rows of a source, unless it cannot be learned from.

    Raises:
        DataError: no rows; a column is all null; a scenario is null or undeclared.
    """
    schema = found.schema
    if not found.rows:
        raise DataError(f"{few(source.paths)}: no training rows. Check the split.")
    for name, what in found.features.items():
        if what.nulls == what.rows and not gaps:
            missing = "null, NaN or infinite" if isinstance(what, Tally) else "null"
            raise DataError(f"feature {name!r} is {missing} in all {found.rows:,} training rows. Remove the feature.")
    tallies = {name: what for name, what in found.features.items() if isinstance(what, Tally)}
    discrete = [one.name for one in schema.features if one.kind in ("categorical", "sequence")]
    counts = {name: what for name, what in found.features.items() if isinstance(what, Counted) and name in discrete}
    return Findings(found.rows, _scenarios(schema, found.scenarios), _joined(schema, counts), tallies)


def _joined(schema: Schema, counts: dict[str, Counted]) -> dict[str, Counted]:
    for feature in schema.features:
        if feature.shares is not None:
            counts[feature.shares].join(counts.pop(feature.name))
    return counts


def _scenarios(schema: Schema, counted: Counted) -> tuple[str, ...]:
    if counted.nulls:
        raise DataError(
            f"{counted.where} is null in {counted.nulls:,} of {counted.rows:,} training rows. "
            "Fill it, or leave those rows out."
        )
    found = sorted(name for block in counted.frequent(1) for name in pa.array(block).to_pylist())
    for name in found:
        if schema.scenarios and name not in schema.scenarios:
            raise DataError(
                unknown("scenario", name, schema.scenarios, "in the schema")
                + " Add it to scenarios, or leave those rows out."
            )
    return schema.scenarios or tuple(found)
