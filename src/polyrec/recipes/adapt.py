"""A new scenario for a trained model: its own adapter is trained, everything else stays as it is, bit by bit."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import nn

from polyrec.artifact import Bundle, golden
from polyrec.atomic import write_text
from polyrec.batch import Batch
from polyrec.config import DataConfig, Split, SplitBy, TrainingConfig
from polyrec.data.files import Source
from polyrec.data.held import ByScenario, where
from polyrec.data.loader import Loader
from polyrec.data.split import Splits, split
from polyrec.errors import ConfigError, DataError, unknown
from polyrec.evaluation import collect
from polyrec.evaluation.html import render
from polyrec.evaluation.report import Report
from polyrec.evaluation.validation import validation
from polyrec.objectives import balance
from polyrec.recipes import outcome
from polyrec.recipes.adapters import FirstRow, with_scenario
from polyrec.recipes.folder import RunFolder
from polyrec.shapes import Float, Tensor
from polyrec.training import Evaluation, History, Stage, train
from polyrec.training.events import read as events
from polyrec.training.progress import Log

TRAINING = TrainingConfig(epochs=20, batch_size=512, lr=1e-3, evaluations=1, patience=2, metric="log_loss")
OWN = ("scenario.own.*", "inputs.scenario")  # of these, rows of other scenarios are put back as they were
GATES = "selector.network.weight"  # by scenario; a selector that reads rows keeps to what it has learned
_BATCH = 2_048


def adapt(
    folder: str | Path,
    scenario: str,
    data: Sequence[str],
    out: str | Path,
    *,
    start: str = "nearest",
    by: SplitBy | None = None,
    training: TrainingConfig = TRAINING,
    log: Log | None = None,
) -> RunFolder:
    """Add a scenario to a trained model of `autoifs` and train its adapter on its rows.

    Args:
        folder: what `fit` or an earlier `adapt` wrote, or a bundle.
        scenario: its name, as the rows' scenario column has it; rows of other scenarios are left out.
        data: parquet or CSV files; a tenth validates and a tenth tests.
        out: a new or empty folder, which gets bundle, report and events.
        start: where its units start, every flow kept: `"zero"`, where they add nothing; `"nearest"`, those of the
            known scenario that predicts the new rows best, or zero where what all share does; or a scenario's name.
        by: how rows are split; by time where the schema has it, else at random.
        training: the budget.
        log: told of progress.

    Raises:
        ConfigError: a model without adapters, a scenario that is known already, a start that is not.
        DataError: no rows of that scenario in a part.
    """
    found = Path(folder)
    bundle = Bundle.load(found / "bundle" if (found / "bundle").is_dir() else found)
    target = empty_folder(Path(out))
    torch.manual_seed(training.seed)
    grown = with_scenario(bundle, scenario, _at_zero)
    parts = split(DataConfig(schema="", log=tuple(data), split=Split(by=by)), grown.schema)
    rows = {name: _rows(grown, scenario, source, name) for name, source in _named(parts).items()}
    chosen = _start(bundle, rows["train"], start)
    if chosen is not None:
        torch.manual_seed(training.seed)
        grown = with_scenario(bundle, scenario, _like(bundle, chosen))
    history = _train(grown, rows, training, target, log)
    report = _judged(grown, rows["test"], history, training, scenario, chosen)
    kept = _golden(bundle, found, grown, parts.test or parts.valid, scenario)
    _kept(grown, bundle, report, scenario, len(rows["train"])).save(target.bundle, kept, report.to_json())
    write_text(target.page, render(report.to_dict(), events(target.events)))
    report.save(target.report)
    return target


def empty_folder(path: Path) -> RunFolder:
    """The folder of an adaptation, which must be new or empty."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"--out {path} is not empty: nothing is overwritten. Name another folder.")
    return RunFolder(path)


def _at_zero(name: str, old: Float[Tensor, "S *any"], fresh: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Units as built (they add nothing), the mean of the embeddings, every flow kept."""
    if name.endswith("inputs.scenario"):
        return old.mean(0)
    return torch.full_like(fresh, -1.0) if name == GATES else fresh


def _like(bundle: Bundle, scenario: str) -> FirstRow:
    """Units and embedding of a known scenario, every flow kept: an adapter behind a pruned flow would never learn."""

    def first(name: str, old: Float[Tensor, "S *any"], fresh: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        place = _place(bundle, name, scenario)
        return _at_zero(name, old, fresh) if name == GATES or place < 0 else old[place]

    return first


def _place(bundle: Bundle, name: str, scenario: str) -> int:
    place = bundle.encoder.layout.scenarios.index(scenario)
    adapter: Any = bundle.model.adapter
    return int(adapter[place]) if name.startswith("scenario.own.") else place


def _named(parts: Splits) -> dict[str, Source]:
    return {"train": parts.train, "valid": parts.valid, "test": parts.test or parts.valid}


def _rows(bundle: Bundle, scenario: str, source: Source, part: str) -> Batch:
    """The scenario's rows of a part, held in memory."""
    place = bundle.encoder.layout.scenarios.index(scenario)
    loader = Loader(source, bundle.encoder, batch_size=_BATCH, shuffle_rows=64 * _BATCH, prefetch=1)
    found = where(loader.ordered(), lambda batch: batch.scenario == place)
    if not len(found):
        column = bundle.schema.keys.scenario
        raise DataError(f"no {part} row has {column!r} = {scenario!r}: nothing to learn from. Give rows of it.")
    return found


@torch.no_grad()
def _start(bundle: Bundle, rows: Batch, start: str) -> str | None:
    """The scenario to start from; None for zero."""
    names = bundle.encoder.layout.scenarios
    if start == "zero":
        return None
    if start != "nearest":
        if start not in names:
            raise ConfigError(f"start: {unknown('scenario', start, ['zero', 'nearest', *names], 'in the bundle')}")
        return start
    losses: dict[str | None, float] = {}
    for place, name in ((-1, None), *enumerate(names)):  # -1: what all scenarios share, and nobody's units
        total = 0.0
        for first in range(0, min(len(rows), 16 * _BATCH), _BATCH):
            batch = rows.select(torch.arange(first, min(first + _BATCH, len(rows))))
            batch = replace(batch, scenario=torch.full_like(batch.scenario, place))
            total += sum(float(term) for term in bundle.objective(bundle.model(batch), batch).values()) * len(batch)
        losses[name] = total
    return min(losses, key=lambda name: losses[name])


def _train(
    bundle: Bundle, rows: dict[str, Batch], training: TrainingConfig, target: RunFolder, log: Log | None
) -> History:
    model, objective = bundle.model, bundle.objective
    before = {name: one.detach().clone() for name, one in model.state_dict().items()}
    objective.requires_grad_(False)

    def evaluate() -> Evaluation:
        found = validation(_collected(bundle, rows["valid"]), "log_loss" if training.metric == "log_loss" else "auc")
        sign = -1.0 if training.metric == "log_loss" else 1.0
        cells = {f"{cell.scenario}/{cell.target.name}": value for cell, value in found.cells.items()}
        return Evaluation(None if found.mean is None else sign * found.mean, cells)

    history = train(
        Stage("adapt", training, trainable=OWN if "inputs.scenario" in before else OWN[:1]),
        model,
        objective,
        balance.build("fixed", objective.terms),
        ByScenario(rows["train"], batch_size=training.batch_size, seed=training.seed),
        evaluate,
        folder=target.path,
        log=log,
    )
    _put_back(model, before)
    return history


@torch.no_grad()
def _put_back(model: nn.Module, before: dict[str, Tensor]) -> None:
    """All but the new scenario's rows, whatever an optimizer's decay did to them."""
    for name, one in model.state_dict().items():
        if name.startswith("scenario.own.") or name == "inputs.scenario":
            one[:-1] = before[name][:-1]
        else:
            one.copy_(before[name])


def _collected(bundle: Bundle, rows: Batch) -> collect.Collected:
    pieces = (rows.select(torch.arange(first, min(first + _BATCH, len(rows)))) for first in range(0, len(rows), _BATCH))
    return collect.run(bundle.logits, pieces, model=bundle.model, rows=len(rows))


def _judged(
    bundle: Bundle, rows: Batch, history: History, training: TrainingConfig, scenario: str, start: str | None
) -> Report:
    told: dict[str, Any] = {"steps": history.steps, "best_step": history.best_step, "seed": training.seed}
    told["seconds"] = round(history.taken, 3)
    told["rows_per_second"] = round(history.rows / max(history.seconds, 1e-9))
    return Report.build(
        _collected(bundle, rows),
        recipe=bundle.manifest.recipe,
        split="test",
        run={**told, "parameters": bundle.manifest.parameters},
        extra={"adapted": {"scenario": scenario, "start": start or "zero", "training": _plain(training)}},
    )


def _plain(training: TrainingConfig) -> dict[str, Any]:
    return {key: value for key, value in asdict(training).items() if value not in (None, {}, ())}


def _golden(bundle: Bundle, folder: Path, grown: Bundle, source: Source, scenario: str) -> pa.Table:
    """Rows of the bundle before, whose scores must not move, and rows of the new scenario."""
    path = folder / "bundle" if (folder / "bundle").is_dir() else folder
    names = list(grown.encoder.columns(labels=False))
    old = golden.read(path).slice(0, golden.ROWS // 2).select(names)
    table = next(iter(source.tables(names)))
    table = pa.table({name: outcome.decoded(table[name]) for name in table.column_names})
    mine = pc.equal(table[bundle.schema.keys.scenario].cast(pa.string()), scenario)
    new = table.filter(mine).slice(0, golden.ROWS // 2)
    return pa.concat_tables([old, new.cast(old.schema)])


def _kept(grown: Bundle, bundle: Bundle, report: Report, scenario: str, rows: int) -> Bundle:
    adapted = [*bundle.manifest.trained_on.get("adapted", []), {"scenario": scenario, "rows": rows}]
    metrics = {f"{row.scenario}/{row.task}/{row.space}": row.value for row in report.rows if row.metric == "auc"}
    mine = {key: value for key, value in metrics.items() if key.startswith(f"{scenario}/")}
    manifest = replace(
        grown.manifest,
        trained_on={**bundle.manifest.trained_on, "adapted": adapted},
        metrics={**bundle.manifest.metrics, **mine},
    )
    return replace(grown, manifest=manifest)
