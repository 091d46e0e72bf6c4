"""`polyrec tune`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """Search a run file's settings on validation rows; the best becomes OUT/run.toml.

Called again, it goes on where it was stopped. Example: polyrec tune run.toml --trials 20 --out tuned
"""


def run(
    file: Annotated[Path, typer.Argument(help="The run file.")],
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="Settings to try, the run file's own among them.")
    ] = 20,
    out: Annotated[Path | None, typer.Option("--out", help="The folder to write; tune/RECIPE by default.")] = None,
    space: Annotated[
        Path | None, typer.Option("--space", help="A TOML file of ranges; rates, decay and batch size by default.")
    ] = None,
    sampler: Annotated[str, typer.Option("--sampler", help="tpe (needs optuna) or random.")] = "tpe",
    seed: Annotated[int, typer.Option("--seed", help="Of what is drawn.")] = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", help="a.b=value over the run file.")] = None,
) -> None:
    """Search, and write the best run file."""
    from polyrec.bench.space import DEFAULT, read_space
    from polyrec.bench.tune import tune
    from polyrec.cli.files import log, show
    from polyrec.config import RunConfig, read_setting
    from polyrec.declare import read_toml

    config = RunConfig.load(file, dict(read_setting(one) for one in settings or []))
    values = read_toml(space) if space is not None else DEFAULT
    ranges = read_space(values, str(space or "the default space"))
    folder = out or Path("tune") / config.recipe
    best, tried = tune(config, ranges, folder, trials=trials, sampler=sampler, seed=seed, log=log)
    show(best.read_text(encoding="utf-8").rstrip())
    log(f"best of {len(tried)} trials: {best}")
