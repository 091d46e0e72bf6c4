"""`polyrec bench`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """Recipes x seeds x data sets -> a leaderboard: mean ± sd, significance, ranks, parameters, seconds.

SUITE is quick, real, truth, papers, or a suite.toml. Called again, it goes on where it was stopped.

Example: polyrec bench real --data data --out bench/real
"""


def run(
    suite: Annotated[str, typer.Argument(help="quick, real, truth, papers, or a .toml file.")],
    out: Annotated[Path | None, typer.Option("--out", help="The folder of results; bench/NAME by default.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Where the suite's run files begin; by default its own folder.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="These of its data sets; repeatable.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and stop.")] = False,
    only_page: Annotated[
        bool, typer.Option("--page", help="Write the page of what is finished; train nothing.")
    ] = False,
) -> None:
    """Run what is missing, then write the page."""
    from polyrec.bench.grid import Grid
    from polyrec.bench.leaderboard import write
    from polyrec.bench.suite import load
    from polyrec.cli.files import log, show

    whole, folder = load(suite)
    chosen = whole.only(only or [])
    grid = Grid(chosen, out or Path("bench") / chosen.name, data or folder, log)
    if dry_run:
        show(grid.plan())
        return
    if not only_page:
        grid.run()
    page = write(chosen, grid.out, grid.current())
    show(page.markdown.read_text(encoding="utf-8").rstrip())
    log(f"results: {grid.out / 'results.jsonl'}\npage:    {page.html}")
