"""The report of a saved model on any rows."""

import time

from polyrec.artifact import Bundle
from polyrec.data.files import Source
from polyrec.data.loader import Loader
from polyrec.evaluation import collect
from polyrec.evaluation.report import Report

BATCH = 16_384


def evaluate(bundle: Bundle, source: Source, split: str = "given") -> Report:
    """Score every row of `source` and compare with its labels, cell by cell."""
    started = time.perf_counter()
    loader = Loader(source, bundle.encoder, batch_size=BATCH)
    collected = collect.run(bundle.logits, loader.ordered())
    seconds = time.perf_counter() - started
    run = {
        "seconds": round(seconds, 3),
        "rows_per_second": round(len(collected) / max(seconds, 1e-9)),
        "parameters": bundle.manifest.parameters,
    }
    return Report.build(collected, recipe=bundle.manifest.recipe, split=split, run=run)
