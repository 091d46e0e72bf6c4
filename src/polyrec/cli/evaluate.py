"""`polyrec evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """The report of a bundle on other rows.

Example: polyrec evaluate runs/mmoe/bundle next-week.parquet --out report.json
"""


def run(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder that fit wrote.")],
    data: Annotated[list[str], typer.Argument(help="Parquet or CSV files with labels.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write report.json here (and .html beside it).")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="truth.parquet of a simulated log that ends with these rows: share of the gain."),
    ] = None,
) -> None:
    """Score rows, compare with their labels, print the table."""
    from polyrec.artifact import Bundle
    from polyrec.atomic import write_text
    from polyrec.cli.files import check_output, log, show
    from polyrec.cli.progress import bars
    from polyrec.data.files import Source, expand
    from polyrec.evaluation.evaluate import evaluate
    from polyrec.evaluation.gain import METRIC
    from polyrec.evaluation.html import render

    paths = expand(data)
    if out is not None:
        check_output(out, paths)
        check_output(out.with_suffix(".html"), paths)
    loaded = Bundle.load(bundle)
    with bars() as progress:
        report = evaluate(loaded, Source(paths), truth=truth, progress=progress, log=log)
    show(report.table())
    if truth is not None:
        show("\n" + report.table(METRIC).split("\n\n")[0])
    if out is not None:
        write_text(out, report.to_json())
        page = write_text(out.with_suffix(".html"), render(report.to_dict()))
        log(f"report: {out}, {page}")
