"""`polyrec retrieve`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """The k nearest items of a scenario for each user: user key, rank, item key, score.

Each row is searched for: give one row a user.

Example: polyrec retrieve runs/sass/bundle users.parquet --scenario home -k 50 --out hits.parquet
"""


def run(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder with an index.")],
    users: Annotated[list[str], typer.Argument(help="Parquet or CSV files with the user key and user features.")],
    scenario: Annotated[str, typer.Option("--scenario", help="Whose items.")],
    out: Annotated[Path, typer.Option("--out", help="The parquet file to write.")],
    k: Annotated[int, typer.Option("-k", "--k", help="Items a user.")] = 50,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Files of user and item keys that must not be found.")
    ] = None,
) -> None:
    """Search for each user of the files."""
    from polyrec.cli.files import check_output, log
    from polyrec.data.files import Source, expand
    from polyrec.retrieval.files import retrieve
    from polyrec.retrieval.recommend import Recommender

    paths = expand(users)
    hidden = expand(exclude) if exclude else ()
    check_output(out, (*paths, *hidden))
    seen = Source(hidden) if hidden else None
    count = retrieve(Recommender.load(bundle), Source(paths), scenario, k, out, seen=seen)
    log(f"{count:,} hits into {out}")
