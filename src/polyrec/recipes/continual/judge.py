"""What a model is worth on a period before it learns from it, and on those that it learned from before."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from polyrec.artifact import Bundle
from polyrec.data.files import Source
from polyrec.data.loader import Loader
from polyrec.evaluation import collect
from polyrec.evaluation.figures.wording import plural
from polyrec.evaluation.report import Report
from polyrec.evaluation.validation import validation
from polyrec.progress import Progress, told
from polyrec.recipes.continual.folder import ContinualFolder
from polyrec.recipes.continual.rows import BATCH
from polyrec.recipes.continual.state import State
from polyrec.schema import ALL

METRICS = ("auc", "gauc", "log_loss", "ne", "pcoc")
WATCHED = 12  # periods that forgetting is measured on: the fit's, and the latest


def scored(state: State, source: Source, progress: Progress | None = None, by: Bundle | None = None) -> Report:
    """The report on a period; rows of new scenarios count in the pooled lines alone.

    Args:
        state: the generation that stands.
        source: the period.
        progress: told how many rows are scored.
        by: in place of the model that is served, its teacher.
    """
    bundle = by or state.bundle(shared=True)
    rows = source.rows()
    loader = Loader(source, bundle.encoder, batch_size=BATCH, shuffle_rows=64 * BATCH)
    batches = told(progress, "scoring rows", loader.ordered(), rows)
    collected = collect.run(bundle.logits, batches, model=bundle.model, rows=rows)
    return Report.build(collected, recipe=state.learner.assembly.recipe.name, split="before training")


def cells(report: Report) -> list[dict[str, Any]]:
    """The lines of a report that a history keeps."""
    return [
        {key: round(one, 6) if isinstance(one, float) else one for key, one in asdict(row).items() if one is not None}
        for row in report.rows
        if row.metric in METRICS
    ]


def unjudged(report: Report) -> list[str]:
    """In words, of which tasks the AUC over all rows of a period is undefined, so that nothing judged it."""
    lost = [row for row in report.rows if (row.scenario, row.space, row.metric) == ("*", ALL, "auc")]
    return [f"the AUC of {row.task} is undefined in {plural(row.n or 0, 'row')}: {row.note}"
            for row in lost if row.value is None]  # fmt: skip


def pooled_auc(history: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The AUC over all rows of each period before it was learned from, by task."""
    found: dict[str, list[float]] = {}
    for line in history:
        for row in line["cells"]:
            if (row["scenario"], row["space"], row["metric"]) == ("*", "all", "auc") and "value" in row:
                found.setdefault(row["task"], []).append(row["value"])
    return found


def remembered(state: State, out: ContinualFolder, number: int) -> dict[str, dict[str, float]]:
    """Mean AUC and log-loss over cells, on rows of each earlier period and this one that were never trained on."""
    bundle, found = state.bundle(shared=True), {}
    latest = range(max(1, number - WATCHED + 2), number + 1)
    for period in (0, *latest):
        path = out.sample("held", period)
        if path.exists():
            loader = Loader(Source((path,)), bundle.encoder, batch_size=BATCH, prefetch=0)
            collected = collect.run(bundle.logits, loader.ordered(), model=bundle.model)
            means = {metric: validation(collected, metric).mean for metric in ("auc", "log_loss")}
            found[str(period)] = {name: round(one, 6) for name, one in means.items() if one is not None}
    return found
