"""`polyrec compare`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """Paired differences per scenario x task with intervals: what gained, lost, or cannot be told.

Runs that differ in their seed alone are averaged, and their spread widens the intervals.

Example: polyrec compare runs/mmoe runs/star --baseline runs/pooled --out compare.html
"""


def run(
    folders: Annotated[list[Path], typer.Argument(help="Folders that fit wrote.")],
    baseline: Annotated[Path | None, typer.Option("--baseline", help="The run to compare with; the first.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="An HTML page to write.")] = None,
) -> None:
    """Compare finished runs on the rows that all of them were tested on."""
    from polyrec.cli.files import check_output, log, show
    from polyrec.recipes.comparison import compare_folders, page, words

    if out is not None:
        check_output(out)
    found = compare_folders(folders, baseline)
    show(words(found))
    if out is not None:
        log(f"page: {page(found, out)}")
