"""One pass over the training rows: counts of values, moments of numbers, names of scenarios."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from polyrec.data.columns import read_lists, read_scenarios, read_vectors
from polyrec.data.counted import Counted, relieve
from polyrec.data.files import Source
from polyrec.data.keys import read_keys
from polyrec.data.numbers import DEFAULT_TRANSFORM, Tally, read_floats
from polyrec.data.places import few
from polyrec.data.spill import Space
from polyrec.errors import DataError, unknown
from polyrec.progress import Progress, told
from polyrec.schema import Feature, Schema

Add = Callable[[pa.Array], None]


@dataclass(frozen=True)
class Findings:
    """What one pass found: counts by the feature that owns the ids, tallies by numeric feature."""

    rows: int
    scenarios: tuple[str, ...]
    counts: dict[str, Counted]
    tallies: dict[str, Tally]


def find(
    schema: Schema, source: Source, space: Space, progress: Progress | None = None, *, gaps: bool = False
) -> Findings:
    """Read the features and the scenario of every row once; `progress` is told. `gaps`: features may be all null.

    Counts that are more than `space` lets memory hold lie there.

    Raises:
        DataError: no rows; a column is missing, of the wrong type or all null; a scenario is null or undeclared.
        NotReadyError: the disk is full.
    """
    scenario = schema.keys.scenario
    names = tuple(dict.fromkeys([*(one.name for one in schema.features), scenario]))
    source.require(names)
    gathered = {one.name: _gatherer(one) for one in schema.features}
    counted = [what for what, _ in gathered.values() if isinstance(what, Counted)]
    scenarios = Counted(f"scenario column {scenario!r}")
    rows = 0
    for table in told(progress, "reading training rows", source.tables(names), source.rows() if progress else 0):
        rows += table.num_rows
        for name, (_, add) in gathered.items():
            for chunk in table[name].chunks:
                add(meaningful(chunk))
        for chunk in table[scenario].chunks:
            scenarios.add(read_scenarios(chunk, scenarios.where))
        relieve(counted, space)
    if not rows:
        raise DataError(f"{few(source.paths)}: no training rows. Check the split.")
    for name, (what, _) in gathered.items():
        if what.nulls == what.rows and not gaps:
            missing = "null, NaN or infinite" if isinstance(what, Tally) else "null"
            raise DataError(f"feature {name!r} is {missing} in all {rows:,} training rows. Remove the feature.")
    tallies = {name: what for name, (what, _) in gathered.items() if isinstance(what, Tally)}
    discrete = [one.name for one in schema.features if one.kind in ("categorical", "sequence")]
    counts = {name: what for name, (what, _) in gathered.items() if isinstance(what, Counted) and name in discrete}
    return Findings(rows, _scenarios(schema, scenarios), _joined(schema, counts), tallies)


def meaningful(column: pa.Array) -> pa.Array:
    """A chunk of nothing but nulls says nothing by its type either."""
    return pa.nulls(len(column)) if column.null_count == len(column) else column


def _gatherer(feature: Feature) -> tuple[Counted | Tally, Add]:
    where = f"feature {feature.name!r}"
    if feature.kind == "numeric":
        tally = Tally(feature.transform or DEFAULT_TRANSFORM)
        return tally, lambda column: tally.add(read_floats(column, where), column.null_count)
    counted = Counted(where)
    if feature.kind == "vector":
        return counted, lambda column: _check_vectors(counted, column, feature.size or 0)
    if feature.kind == "sequence":
        return counted, lambda column: counted.add(read_keys(read_lists(column, where)[0], where))
    if feature.hash is not None:
        return counted, lambda column: counted.note(read_keys(column, where))
    return counted, lambda column: counted.add(read_keys(column, where))


def _check_vectors(counted: Counted, column: pa.Array, size: int) -> None:
    read_vectors(column, size, counted.where)
    counted.rows += len(column)
    counted.nulls += column.null_count


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
