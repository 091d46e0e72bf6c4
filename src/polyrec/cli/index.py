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
) -> None:
    """Read items, make their vectors, publish the index."""
    from polyrec.artifact import Bundle
    from polyrec.cli.files import log
    from polyrec.data.files import Source, expand
    from polyrec.declare import parse
    from polyrec.retrieval import AnnOptions
    from polyrec.retrieval.index import ItemIndex

    options = None if ann is None else parse(AnnOptions, {"kind": ann}, "--ann")
    made = ItemIndex.build(Bundle.load(bundle), Source(expand(items)), options)
    made.save(bundle)
    sizes = ", ".join(f"{name} {len(shelf.rows):,}" for name, shelf in made.shelves.items())
    log(f"{made.items.num_rows:,} items indexed in {bundle}: {sizes}")
