"""`polyrec adapt`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """Add a scenario to a trained autoifs model: only its own low-rank adapter is trained.

Example: polyrec adapt runs/autoifs --add-scenario mini new.parquet --out runs/with-mini
"""


def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that fit wrote, or a bundle.")],
    data: Annotated[list[str], typer.Argument(help="Parquet or CSV files with the new scenario's rows.")],
    scenario: Annotated[str, typer.Option("--add-scenario", help="Its name in the scenario column.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; new or empty.")],
    start: Annotated[str, typer.Option("--start", help="zero, nearest, or a known scenario.")] = "nearest",
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="The most passes over its rows.")] = 20,
    lr: Annotated[float, typer.Option("--lr", help="Learning rate of the adapter.")] = 1e-3,
    seed: Annotated[int, typer.Option("--seed", help="Of first weights and shuffling.")] = 0,
) -> None:
    """Train the adapter, judge it, and keep the model that has it."""
    from dataclasses import replace

    from polyrec.cli.files import log, show
    from polyrec.evaluation.report import Report
    from polyrec.recipes.adapt import TRAINING, adapt

    training = replace(TRAINING, epochs=epochs, lr=lr, seed=seed)
    found = adapt(folder, scenario, data, out, start=start, training=training, log=log)
    show(Report.load(found.report).table())
    log(f"report: {found.page}\nbundle: {found.bundle}")
