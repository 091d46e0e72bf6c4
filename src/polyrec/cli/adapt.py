"""`polyrec adapt`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

HELP = """Add a scenario or a task to a trained autoifs model: only its own low-rank units are trained.

Examples: polyrec adapt runs/autoifs --add-scenario mini new.parquet --out runs/with-mini;
polyrec adapt runs/autoifs --add-task share --label is_share --after click log.parquet --out runs/with-share
"""


def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that fit wrote, or a bundle.")],
    data: Annotated[
        list[str], typer.Argument(help="Parquet or CSV files: the new scenario's rows, or the new label's.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; new or empty.")],
    scenario: Annotated[str | None, typer.Option("--add-scenario", help="Its name in the scenario column.")] = None,
    task: Annotated[str | None, typer.Option("--add-task", help="The name of a new task.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="The new task's column; by default its name.")] = None,
    after: Annotated[str | None, typer.Option("--after", help="The new task's parent in the funnel.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict/--not-strict", help="Whether it happens after its parent alone.")
    ] = True,
    start: Annotated[str, typer.Option("--start", help="zero, nearest, or a known scenario.")] = "nearest",
    by: Annotated[
        Literal["time", "user", "random"] | None,
        typer.Option("--split", help="How a tenth validates and a tenth tests: by time if there is one."),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="The most passes over the rows.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of first weights and shuffling.")] = 0,
) -> None:
    """Train what is new, judge it, and keep the model that has it."""
    from dataclasses import asdict

    from polyrec.cli.files import log, show
    from polyrec.config import TrainingConfig
    from polyrec.declare import parse
    from polyrec.errors import ConfigError
    from polyrec.evaluation.report import Report
    from polyrec.recipes import adapt, adapt_task
    from polyrec.schema import Task

    if (scenario is None) == (task is None):
        raise ConfigError("adapt adds a scenario or a task. Give --add-scenario NAME, or --add-task NAME.")
    budget = (adapt if task is None else adapt_task).TRAINING
    given = {"epochs": epochs, "lr": lr}
    chosen = {name: one for name, one in given.items() if one is not None}
    training = parse(TrainingConfig, {**asdict(budget), "seed": seed, **chosen}, "adapt")
    if task is not None:
        wanted = Task(task, label or task, after=after, strict=strict)
        found = adapt_task.add_task(folder, wanted, data, out, by=by, training=training, log=log)
    else:
        assert scenario is not None
        found = adapt.adapt(folder, scenario, data, out, start=start, by=by, training=training, log=log)
    show(Report.load(found.report).table())
    log(f"report: {found.page}\nbundle: {found.bundle}")
