"""What a finished fit leaves: the report, its page, the test rows' scores, and the bundle."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from polyrec.artifact import Bundle
from polyrec.artifact.bundle import describe
from polyrec.artifact.golden import ROWS as GOLDEN_ROWS
from polyrec.atomic import write_text
from polyrec.data.files import Source
from polyrec.distributed import world
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.html import render
from polyrec.evaluation.memory import peak_memory
from polyrec.evaluation.report import Report, Row
from polyrec.progress import Progress
from polyrec.recipes.adapters import without_idle
from polyrec.recipes.assemble import Assembly
from polyrec.recipes.flows import flow_report
from polyrec.recipes.folder import RunFolder
from polyrec.recipes.prepare import Prepared
from polyrec.recipes.rows import Rows, lines
from polyrec.training.events import read as events


def bundled(prepared: Prepared, assembly: Assembly) -> Bundle:
    """The trained model with what reads rows for it."""
    bundle = Bundle(
        describe(assembly.recipe.name, assembly.model_part, assembly.objective_part, prepared.schema, assembly.model),
        prepared.schema,
        prepared.encoder,
        assembly.model.eval(),
        assembly.objective.eval(),
    )
    return without_idle(bundle)


def scored(rows: Rows, bundle: Bundle, progress: Progress | None = None) -> Collected | None:
    """The rows that the report judges by, scored by all processes; at the first one, None at the others."""
    return rows.collected(bundle.logits, _judging(rows.prepared)[1], progress=progress)


def keep(
    folder: RunFolder,
    rows: Rows,
    assembly: Assembly,
    bundle: Bundle,
    collected: Collected | None,
    run: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
    trained_on: Mapping[str, Any] | None = None,
) -> None:
    """Write everything that a fit leaves; report.json last, since it says finished. The first process does it.

    Args:
        folder: of the run.
        rows: of the run, as the report judges them.
        assembly: of the stage that is kept.
        bundle: see `bundled`.
        collected: see `scored`.
        run: how training went.
        extra: more for the report.
        trained_on: more for the bundle's manifest, over what the rows say.
    """
    world().from_first(lambda: _write(folder, rows, assembly, bundle, collected, run, extra, trained_on))


def _write(
    folder: RunFolder,
    rows: Rows,
    assembly: Assembly,
    bundle: Bundle,
    collected: Collected | None,
    run: Mapping[str, Any],
    extra: Mapping[str, Any] | None,
    trained_on: Mapping[str, Any] | None,
) -> None:
    assert collected is not None
    prepared = rows.prepared
    split, source = _judging(prepared)
    collected.save(folder.predictions)
    flows = flow_report(assembly.model, assembly.objective, prepared.encoder.layout, lambda: rows.batches(source))
    report = Report.build(
        collected,
        recipe=assembly.recipe.name,
        split=split,
        run={**run, "parameters": bundle.manifest.parameters, "peak_memory_mb": peak_memory()},
        extra={
            "schema": prepared.schema.fingerprint,
            "data": described(prepared),
            **({"flows": flows} if flows else {}),
            **(extra or {}),
        },
    )
    if assembly.recipe.retrieves:
        report = _with_retrieval(report, rows, assembly, source)
    manifest = replace(
        bundle.manifest,
        metrics=_headline(report),
        trained_on={**described(prepared), **period_of(prepared), "seed": assembly.training.seed, **(trained_on or {})},
    )
    replace(bundle, manifest=manifest).save(folder.bundle, golden(source, prepared), report.to_json())
    write_text(folder.page, render(report.to_dict(), events(folder.events)))
    report.save(folder.report)


def _judging(prepared: Prepared) -> tuple[str, Source]:
    return ("test", prepared.splits.test) if prepared.splits.test else ("valid", prepared.splits.valid)


def _with_retrieval(report: Report, rows: Rows, assembly: Assembly, source: Source) -> Report:
    """The report with retrieval metrics; metrics of probabilities are undefined where there are none."""
    splits = rows.prepared.splits
    seen = (splits.train, splits.valid) if source is splits.test else (splits.train,)
    judged = rows.trial(source, *seen).run(assembly.model)
    kept, curves = list(report.rows), report.reliability
    if not assembly.objective.starts:
        why = "a retrieval score orders items and is no probability"
        kept = [
            row
            if row.metric in ("auc", "gauc")
            else Row(row.scenario, row.task, row.space, row.metric, None, n=row.n, positives=row.positives, note=why)
            for row in kept
        ]
        curves = ()
    return replace(report, rows=(*kept, *lines(judged, rows.task)), reliability=curves)


def golden(source: Source, prepared: Prepared) -> pa.Table:
    """The first raw rows, with the columns that scoring needs."""
    table = next(iter(source.tables(prepared.encoder.columns(labels=False)))).slice(0, GOLDEN_ROWS)
    return pa.table({name: decoded(table[name]) for name in table.column_names})


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of values where there was one of codes."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def described(prepared: Prepared) -> dict[str, Any]:
    """How many rows each part has, and how they were split."""
    parts = {"train": prepared.splits.train, "valid": prepared.splits.valid, "test": prepared.splits.test}
    return {
        "rows": {name: source.rows() for name, source in parts.items() if source is not None},
        "notes": [*prepared.splits.notes, *prepared.warnings],
    }


def period_of(prepared: Prepared) -> dict[str, Any]:
    """First and last time of the training rows, where the schema names a time."""
    name, source = prepared.schema.keys.time, prepared.splits.train
    if name is None:
        return {}
    known = bounds(source, name)
    return {} if known is None else {"period": {"column": name, "from": known[0], "to": known[1]}}


def longer(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What `period_of` says of rows that were learned from after others: nothing where it says nothing of the others.

    Example:
        >>> one, next = ({"period": {"column": "day", "from": a, "to": a + 6}} for a in (0, 7))
        >>> longer(one, next)
        {'period': {'column': 'day', 'from': 0, 'to': 13}}
    """
    if "period" not in before:
        return {}
    first, last = before["period"], now.get("period", before["period"])
    return {"period": {**first, "from": min(first["from"], last["from"]), "to": max(first["to"], last["to"])}}


def bounds(source: Source, column: str) -> tuple[Any, Any] | None:
    """First and last moment of a column, as plain values; None where every one is null."""
    pairs = [pc.min_max(decoded(table[column])).as_py() for table in source.tables([column])]
    known = [one for pair in pairs for one in (pair["min"], pair["max"]) if one is not None]
    if not known:
        return None
    first, last = (one if isinstance(one, (int, float, str)) else str(one) for one in (min(known), max(known)))
    return first, last


def _headline(report: Report) -> dict[str, Any]:
    rows = [row for row in report.rows if row.metric == "auc"]
    return {f"{row.scenario}/{row.task}/{row.space}": row.value for row in rows}
