"""`polyrec predict`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from polyrec.data.places import Place

HELP = """Probabilities for rows: the key columns, and p_TASK (and p_TASK_given_PARENT) for each task.

Example: polyrec predict runs/mmoe/bundle new.parquet --out scores.parquet
"""


def run(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder that fit wrote.")],
    data: Annotated[list[str], typer.Argument(help="Parquet or CSV files.")],
    out: Annotated[Path, typer.Option("--out", help="The parquet file to write; with --ray: the folder.")],
    ray: Annotated[bool, typer.Option("--ray", help="Score on a Ray cluster (the ray extra).")] = False,
    processes: Annotated[int, typer.Option("--processes", help="With --ray: workers that hold the bundle.")] = 1,
) -> None:
    """Score files in blocks."""
    from polyrec.cli.files import check_output, log
    from polyrec.cli.progress import bars
    from polyrec.data.commas import is_csv
    from polyrec.data.files import Source, expand
    from polyrec.errors import ConfigError
    from polyrec.serving import Scorer

    paths = expand(data)
    if ray:
        _on_ray(bundle, paths, out, processes)
        return
    if processes != 1:
        raise ConfigError("--processes is for --ray. Add --ray; without it one process scores.")
    check_output(out, paths)
    if is_csv(out):
        raise ConfigError(f"--out {out}: predict writes parquet. Name it {out.with_suffix('.parquet')}.")
    scorer = Scorer.load(bundle)
    with bars() as progress:
        rows = scorer.predict(Source(paths), out, progress)
    log(f"{rows:,} rows scored into {out}")


def _on_ray(bundle: Path, paths: "Sequence[Place]", out: Path, workers: int) -> None:
    from polyrec.cli.files import log
    from polyrec.cli.stopping import Stopped
    from polyrec.cluster.apart import led, watched

    if not led():
        from polyrec.cluster.output import Output

        folder, new = Output(out.resolve()), not out.exists()
        try:
            raise typer.Exit(watched(sys.argv[1:], folder.path, lambda: folder.leave(new)))
        except KeyboardInterrupt:
            done = folder.parts()
            raise Stopped(
                f"parts that are scored: {done:,}; give the same command again to go on" if done else ""
            ) from None
    from polyrec.cli.progress import bars
    from polyrec.cluster.predict import predict

    with bars() as progress:
        rows = predict(bundle, paths, out, workers=workers, log=log, progress=progress)
    log(f"{rows:,} rows scored into {out}")
