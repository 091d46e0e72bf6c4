"""`polyrec simulate`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """A log whose true probabilities are known: log.parquet, schema.toml, truth.parquet (same row order).

Presets: balanced, starved, conflict, selection, noclick, flows, drift.

Example: polyrec simulate --out world --preset selection --rows 1000000
"""


def run(
    out: Annotated[Path, typer.Option("--out", help="The folder to write; new or empty.")],
    rows: Annotated[int, typer.Option("--rows", help="Impressions.")] = 1_000_000,
    scenarios: Annotated[int | None, typer.Option("--scenarios", help="The preset's own number.")] = None,
    days: Annotated[int, typer.Option("--days", help="Days that the log spans.")] = 14,
    seed: Annotated[int, typer.Option("--seed", help="Of the world and its rows.")] = 0,
    preset: Annotated[str, typer.Option("--preset", help="Which world.")] = "balanced",
) -> None:
    """Write a world."""
    from polyrec.cli.files import log
    from polyrec.cli.progress import bars
    from polyrec.data.simulate import simulate

    with bars() as progress:
        paths = simulate(out, rows=rows, scenarios=scenarios, days=days, seed=seed, preset=preset, progress=progress)
    log(f"log:    {paths.log}\nschema: {paths.schema}\ntruth:  {paths.truth}")
