"""`polyrec index`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """Item vectors of a bundle with two towers, one index for each scenario, kept in the bundle.

Example: polyrec index runs/sass/bundle items.parquet
"""


def run(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder that fit wrote.")],
    items: Annotated[list[str], typer.Argument(help="Parquet or CSV files with the item key and item features.")],
    ann: Annotated[
        str | None, typer.Option("--ann", help="Approximate search with faiss: flat, ivf, hnsw or pq.")
    ] = None,
    shards: Annotated[int, typer.Option("--shards", help="Parts of each index; faiss builds one at a time.")] = 1,
) -> None:
    """Read items, make their vectors, publish the index."""
    from polyrec.artifact import Bundle
    from polyrec.cli.files import log
    from polyrec.data.files import Source, expand
    from polyrec.declare import parse
    from polyrec.retrieval import AnnOptions
    from polyrec.retrieval.index import publish

    options = None if ann is None else parse(AnnOptions, {"kind": ann}, "--ann")
    sizes = publish(bundle, Bundle.load(bundle), Source(expand(items)), options, shards)
    log(f"items indexed in {bundle}: {', '.join(f'{name} {count:,}' for name, count in sizes.items())}")
