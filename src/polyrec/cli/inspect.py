"""`polyrec inspect`."""

import os
from pathlib import Path
from typing import Annotated

import typer

HELP = """Infer a schema, print statistics per column and cell, and name what would spoil a model.

Example: polyrec inspect log-*.parquet --out schema.toml
"""


PIPED = 200  # columns where no terminal says how wide it is


def run(
    data: Annotated[list[str], typer.Argument(help="Parquet or CSV files.")],
    schema: Annotated[
        Path | None, typer.Option("--schema", help="Check against this schema; none is inferred.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the inferred schema.toml here.")] = None,
    sample: Annotated[int, typer.Option("--sample", help="Rows that the leak checks look at.")] = 200_000,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample.")] = 0,
) -> None:
    """Look before training."""
    from rich.console import Console

    from polyrec.atomic import write_text
    from polyrec.cli.files import check_output, log, show
    from polyrec.cli.progress import bars
    from polyrec.data.files import expand
    from polyrec.data.inspection import inspect, render
    from polyrec.errors import ConfigError
    from polyrec.schema import Schema

    paths = expand(data)
    if out is not None:
        check_output(out, paths)
        if out.exists():
            raise ConfigError(f"--out {out} exists, and a schema is often written by hand. Remove it, or name another.")
    declared = Schema.load(schema) if schema else None
    with bars() as progress:
        found = inspect(paths, declared, sample=sample, seed=seed, progress=progress)
    here = Console()
    console = here if here.is_terminal or "COLUMNS" in os.environ else Console(width=PIPED)
    with console.capture() as said:
        render(found, console)
    show(said.get().rstrip("\n"))
    if out is not None:
        write_text(out, found.to_toml())
        log(f"schema: {out}")
