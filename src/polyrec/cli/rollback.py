"""`polyrec rollback`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """Make an earlier generation of an update the one that stands.

Example: polyrec rollback runs/daily --to 12
"""


def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that update wrote.")],
    to: Annotated[int | None, typer.Option("--to", help="Its number; the one before by default.")] = None,
) -> None:
    """Move the pointer, and what follows it."""
    from polyrec.cli.files import log, show
    from polyrec.evaluation.pages.continual import history_table
    from polyrec.recipes.continual.update import rollback
    from polyrec.training.events import read

    found = rollback(folder, to)
    show(history_table(read(found.history)))
    log(f"report: {found.page}\nbundle: {found.bundle}")
