"""A new task for a trained model: its own low-rank units are trained, everything else stays as it is, bit by bit."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polyrec import models, objectives
from polyrec.artifact import Bundle, golden
from polyrec.artifact.manifest import Part
from polyrec.atomic import write_text
from polyrec.batch import Batch, Output
from polyrec.config import DataConfig, Split, SplitBy, TrainingConfig
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.loader import Loader
from polyrec.data.split import Splits, split
from polyrec.errors import ConfigError
from polyrec.evaluation import collect
from polyrec.evaluation.html import render
from polyrec.evaluation.report import Report
from polyrec.evaluation.validation import validation
from polyrec.models.autoifs import AutoIFS
from polyrec.nn.flows import FLOWS
from polyrec.objectives import Objective, balance
from polyrec.objectives.objective import Predictions, Terms
from polyrec.objectives.start import BOUND, ROWS, shift
from polyrec.recipes.adapt import empty_folder
from polyrec.recipes.folder import RunFolder
from polyrec.schema import Task
from polyrec.shapes import Tensor
from polyrec.training import Evaluation, History, Stage, train
from polyrec.training.events import read as events
from polyrec.training.progress import Log

TRAINING = TrainingConfig(epochs=5, batch_size=2048, lr=2e-3, evaluations=2, patience=2, metric="log_loss")
KEPT = -1.0  # of a gate: the flow is not pruned
_BATCH = 2_048


def add_task(
    folder: str | Path,
    task: Task,
    data: Sequence[str],
    out: str | Path,
    *,
    by: SplitBy | None = None,
    training: TrainingConfig = TRAINING,
    log: Log | None = None,
) -> RunFolder:
    """Add a task to a trained model of `autoifs` and train its own units on the log's rows.

    The new head reads every flow; its own task units start where they add nothing, so that it starts as what all heads
    share. Where the task stands in the funnel is the task's own: `after` an old one, strict or not.

    Args:
        folder: what `fit` or an earlier adaptation wrote, or a bundle.
        task: its name, label column and place in the funnel.
        data: parquet or CSV files with the new label beside all columns of the schema; a tenth validates and a
            tenth tests.
        out: a new or empty folder, which gets bundle, report and events.
        by: how rows are split; by time where the schema has it, else at random.
        training: the budget.
        log: told of progress.

    Raises:
        ConfigError: a model without adapters, a task that is known already, a parent that is not, or an objective
            under which an old task would mean something else beside the new one.
        DataError: a column is missing, a label is not binary.
    """
    found = Path(folder)
    path = found / "bundle" if (found / "bundle").is_dir() else found
    bundle = Bundle.load(path)
    target = empty_folder(Path(out))
    torch.manual_seed(training.seed)
    grown = with_task(bundle, task)
    parts = split(DataConfig(schema="", log=tuple(data), split=Split(by=by)), grown.schema)
    history = _train(grown, bundle, parts, task, training, target, log)
    report = _judged(grown, parts.test or parts.valid, history, training, task)
    names = list(grown.encoder.columns(labels=False))
    _kept(grown, bundle, report, task, parts.train.rows()).save(
        target.bundle, golden.read(path).select(names), report.to_json()
    )
    write_text(target.page, render(report.to_dict(), events(target.events)))
    report.save(target.report)
    return target


def with_task(bundle: Bundle, task: Task) -> Bundle:
    """The bundle with one more task, the last; all others score as before, bit by bit.

    Raises:
        ConfigError: as `add_task`.
        SchemaError: the task does not fit the funnel.
    """
    old = bundle.model
    if not isinstance(old, AutoIFS):
        raise ConfigError(
            f"model {bundle.manifest.model.name!r} has no units by task that can be added. "
            "Train a recipe on model 'autoifs'."
        )
    if task.name in (one.name for one in bundle.schema.tasks):
        known = ", ".join(one.name for one in bundle.schema.tasks)
        raise ConfigError(f"task {task.name!r} is in the bundle already. Known: {known}. Choose another name.")
    schema = replace(bundle.schema, tasks=(*bundle.schema.tasks, task))
    encoder = Encoder(schema, bundle.encoder.vocabulary)
    objective = objectives.build(bundle.manifest.objective.name, encoder.layout, bundle.manifest.objective.options)
    _extend_objective(objective, bundle.objective)
    part = bundle.manifest.model
    model = models.build(part.name, encoder.layout, objective.heads, part.options)
    assert isinstance(model, AutoIFS)
    model.load_state_dict(_extended(old.state_dict(), model.state_dict(), len(old.heads)))
    manifest = replace(
        bundle.manifest,
        model=Part(part.name, part.options),
        schema_fingerprint=schema.fingerprint,
        parameters=sum(one.numel() for one in model.parameters()),
        files={},
    )
    return Bundle(manifest, schema, encoder, model.eval(), objective.eval())


def _extend_objective(objective: Objective, old: Objective) -> None:
    """The state of the old objective; the new heads start at 0."""
    count = len(old.heads)
    if objective.heads[:count] != old.heads or len(objective.heads) == count:
        raise ConfigError(
            f"objective: with the new task its heads would be {', '.join(objective.heads)} in the place of "
            f"{', '.join(old.heads)}, so that old tasks would mean something else. Fit anew."
        )
    state, fresh = old.state_dict(), objective.state_dict()
    for name, one in state.items():
        if name == "start":
            fresh[name] = torch.cat([one, one.new_zeros(len(objective.heads) - count)])
        else:
            fresh[name] = one
    objective.load_state_dict(fresh)


def _extended(old: dict[str, Tensor], new: dict[str, Tensor], heads: int) -> dict[str, Tensor]:
    """Old numbers in the old heads' places, everything as built in the new heads'; gates keep every flow."""
    found = {}
    for name, fresh in new.items():
        one = old[name]
        if one.shape == fresh.shape:
            found[name] = one
        elif name == "selector.network.weight":  # [S, T, J]
            found[name] = torch.cat([one, torch.full_like(fresh[:, heads:], KEPT)], 1)
        elif name == "selector.network.end.weight":  # [T * J, H]
            found[name] = torch.cat([one, torch.zeros_like(fresh[heads * len(FLOWS) :])])
        elif name == "selector.network.end.bias":
            found[name] = torch.cat([one, torch.full_like(fresh[heads * len(FLOWS) :], KEPT)])
        else:
            found[name] = torch.cat([one, fresh[heads:]])
    return found


class _Only(Objective):
    """The terms of new heads alone, while everything else stands still."""

    def __init__(self, base: Objective, heads: Sequence[str]) -> None:
        super().__init__(base.layout)
        self.base, self.kept = base, tuple(name for name in base.terms if name in heads)

    @property
    def start(self) -> Tensor | None:  # type: ignore[override]
        """That of the base."""
        return self.base.start

    @property
    def heads(self) -> tuple[str, ...]:
        """Those of the base."""
        return self.base.heads

    @property
    def terms(self) -> tuple[str, ...]:
        """Those that are trained."""
        return self.kept

    def forward(self, output: Output, batch: Batch) -> Terms:
        """Those of the base that are trained."""
        terms = self.base(output, batch)
        return {name: terms[name] for name in self.kept}

    def predict(self, output: Output) -> Predictions:
        """Those of the base."""
        return self.base.predict(output)


def _train(
    grown: Bundle,
    bundle: Bundle,
    parts: Splits,
    task: Task,
    training: TrainingConfig,
    target: RunFolder,
    log: Log | None,
) -> History:
    model, heads = grown.model, grown.objective.heads[len(bundle.objective.heads) :]
    before = {name: one.detach().clone() for name, one in model.state_dict().items()}
    names = [name for name, _ in model.named_parameters()]
    grown.objective.requires_grad_(False)
    objective = _Only(grown.objective, heads)
    if not objective.terms:
        raise ConfigError(
            f"objective {bundle.manifest.objective.name!r} has no term of the new task's own: it cannot be learned "
            "alone. Fit anew, or train a recipe with the objective 'pointwise'."
        )
    loader = Loader(parts.train, grown.encoder, batch_size=training.batch_size, seed=training.seed)
    _begin(grown, loader, heads)
    sign = -1.0 if training.metric == "log_loss" else 1.0

    def evaluate() -> Evaluation:
        found = validation(_collected(grown, parts.valid), "log_loss" if sign < 0 else "auc")
        mine = {
            f"{cell.scenario}/{cell.target.name}": value
            for cell, value in found.cells.items()
            if cell.target.task == task.name
        }
        return Evaluation(sign * sum(mine.values()) / len(mine) if mine else None, mine)

    history = train(
        Stage("adapt", training, trainable=("task.own.*", *(["bias"] if "bias" in names else []))),
        model,
        objective,
        balance.build("fixed", objective.terms),
        loader,
        evaluate,
        folder=target.path,
        log=log,
    )
    _put_back(model, before, len(bundle.objective.heads))
    return history


@torch.no_grad()
def _begin(grown: Bundle, loader: Loader, heads: Sequence[str]) -> None:
    """Start the new heads where the first rows' labels have them on average, beside what all heads share."""
    objective, known = grown.objective, getattr(grown.objective, "targets", {})
    if objective.start is None:
        return
    batches = list(islice((batch for _, batch in loader.epoch(0)), max(1, ROWS // loader.batch_size)))
    outputs = [grown.model.eval()(batch) for batch in batches]
    for head in heads:
        if head not in known:
            continue
        pairs = [batch.target(known[head]) for batch in batches]
        inside = torch.cat([one for _, one in pairs])
        if inside.any():
            logit = torch.cat([output.logits[head] for output in outputs])[inside].double()
            label = torch.cat([one for one, _ in pairs])[inside].double()
            objective.start[objective.heads.index(head)] = shift(logit, label, BOUND)


@torch.no_grad()
def _put_back(model: nn.Module, before: dict[str, Tensor], heads: int) -> None:
    """All but the new heads' rows, whatever an optimizer did to them."""
    for name, one in model.state_dict().items():
        if name.startswith("task.own.") or name == "bias":
            one[:heads] = before[name][:heads]
        else:
            one.copy_(before[name])


def _collected(bundle: Bundle, source: Source) -> collect.Collected:
    batches = Loader(source, bundle.encoder, batch_size=_BATCH, shuffle_rows=64 * _BATCH).ordered()
    return collect.run(bundle.logits, batches, model=bundle.model, rows=source.rows())


def _judged(bundle: Bundle, source: Source, history: History, training: TrainingConfig, task: Task) -> Report:
    told: dict[str, Any] = {"steps": history.steps, "best_step": history.best_step, "seed": training.seed}
    told["seconds"] = round(history.taken, 3)
    told["rows_per_second"] = round(history.rows / max(history.seconds, 1e-9))
    return Report.build(
        _collected(bundle, source),
        recipe=bundle.manifest.recipe,
        split="test",
        run={**told, "parameters": bundle.manifest.parameters},
        extra={"adapted": {"task": task.name, "after": task.after, "strict": task.strict}},
    )


def _kept(grown: Bundle, bundle: Bundle, report: Report, task: Task, rows: int) -> Bundle:
    adapted = [*bundle.manifest.trained_on.get("adapted", []), {"task": task.name, "rows": rows}]
    mine = {
        f"{row.scenario}/{row.task}/{row.space}": row.value
        for row in report.rows
        if row.metric == "auc" and row.task == task.name
    }
    manifest = replace(
        grown.manifest,
        trained_on={**bundle.manifest.trained_on, "adapted": adapted},
        metrics={**bundle.manifest.metrics, **mine},
    )
    return replace(grown, manifest=manifest)
