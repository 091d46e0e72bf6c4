"""The report of a saved model on any rows."""

import time

from polyrec.artifact import Bundle
from polyrec.data.files import Source
from polyrec.data.loader import Loader
from polyrec.evaluation import collect
from polyrec.evaluation.memory import peak_memory
from polyrec.evaluation.report import Report

BATCH = 2_048  # activations that stay in the cache


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
        "peak_memory_mb": peak_memory(),
        "seed": bundle.manifest.trained_on.get("seed"),
    }
    return Report.build(collected, recipe=bundle.manifest.recipe, split=split, run=run)
