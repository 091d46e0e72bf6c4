"""`polyrec update`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """Go on with a finished fit: each new period is judged first, then trained on.

Examples: polyrec update runs/mmoe day-15.parquet day-16.parquet --out runs/daily;
polyrec update runs/mmoe new.parquet --every day --out runs/daily
"""


def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that fit wrote, or an earlier update.")],
    data: Annotated[list[str], typer.Argument(help="Parquet or CSV files or patterns, each a period.")],
    out: Annotated[Path | None, typer.Option("--out", help="The folder of generations; DIR where it is one.")] = None,
    every: Annotated[
        str | None, typer.Option("--every", help="Cut all rows into periods: hour, day, week, or a number.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over a period.")] = 1,
    replay: Annotated[float, typer.Option("--replay", help="Share of each batch from earlier periods.")] = 0.0,
    hold: Annotated[float, typer.Option("--hold", help="Share of the rows that only judges what is forgotten.")] = 0.05,
    force: Annotated[bool, typer.Option("--force", help="Learn from bad periods too.")] = False,
    skip: Annotated[bool, typer.Option("--skip-bad", help="Leave bad periods out and go on.")] = False,
    keep: Annotated[int, typer.Option("--keep", min=2, help="Generations to keep on disk.")] = 4,
    settings: Annotated[list[str] | None, typer.Option("--set", help="training.a=value over the run's.")] = None,
) -> None:
    """Judge, check, learn, keep; period after period."""
    from polyrec.cli.files import log, show
    from polyrec.cli.progress import bars
    from polyrec.config import read_setting
    from polyrec.errors import ConfigError
    from polyrec.evaluation.pages.continual import history_table
    from polyrec.recipes.continual.course import Options
    from polyrec.recipes.continual.update import update
    from polyrec.training.events import read

    given = dict(read_setting(one) for one in settings or [])
    for key in given:
        if not key.startswith("training."):
            raise ConfigError(f"--set {key}: update takes training.* alone; the model stays what it is.")
    training = {key.removeprefix("training."): value for key, value in given.items()}
    options = Options(epochs, replay, hold, force, skip, keep, training)
    with bars() as progress:
        found = update(folder, data, out, every=every, options=options, log=log, progress=progress)
    show(history_table(read(found.history)))
    log(f"report: {found.page}\nbundle: {found.bundle}")
