"""The report of a saved model on any rows."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from polyrec.artifact import Bundle
from polyrec.data.blank import blank
from polyrec.data.files import Source
from polyrec.data.loader import Loader
from polyrec.evaluation import collect
from polyrec.evaluation.gain import gains
from polyrec.evaluation.memory import peak_memory
from polyrec.evaluation.report import Report
from polyrec.progress import Progress, told

BATCH = 2_048  # activations that stay in the cache


def evaluate(
    bundle: Bundle,
    source: Source,
    split: str = "given",
    truth: str | Path | None = None,
    progress: Progress | None = None,
    log: Callable[[str], None] | None = None,
) -> Report:
    """Score every row of `source` and compare with its labels, cell by cell.

    Args:
        bundle: the model.
        source: rows with labels.
        split: the name that the report gives them.
        truth: the truth.parquet of a simulated log whose last rows these are; adds the metric `share_of_gain`.
        progress: told how many footers are read and rows are scored.
        log: told of features that say nothing in any row.
    """
    started = time.perf_counter()
    rows = source.open(progress).rows()
    batches = Loader(source, bundle.encoder, batch_size=BATCH).ordered()
    collected = collect.run(bundle.logits, told(progress, "scoring rows", batches, rows), rows=rows)
    seconds = time.perf_counter() - started
    features = [one.name for one in bundle.schema.features]
    if log is not None:
        for name in blank(source, features):
            log(f"warning: feature {name!r} is null, NaN or infinite in all {rows:,} rows: it is scored as missing.")
    run = {
        "seconds": round(seconds, 3),
        "rows_per_second": round(len(collected) / max(seconds, 1e-9)),
        "parameters": bundle.manifest.parameters,
        "peak_memory_mb": peak_memory(),
        "seed": bundle.manifest.trained_on.get("seed"),
    }
    report = Report.build(collected, recipe=bundle.manifest.recipe, split=split, run=run)
    return report if truth is None else replace(report, rows=(*report.rows, *gains(collected, truth)))
