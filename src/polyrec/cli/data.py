"""`polyrec data`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from polyrec.data.named import DataSet, Made

HELP = """A named public data set, from your own files, as a log with its schema and run file.

Without a name: every data set, where it is to be had and under which terms. With a name alone: its files and protocol.
Nothing is downloaded.

Example: polyrec data movielens-1m --from ml-1m --out data/ml-1m
"""


def run(
    name: Annotated[str | None, typer.Argument(help="A data set; leave it out for the list of them.")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="The folder with its files, unpacked.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder to write; new or empty.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse files or counts that differ from those published.")
    ] = False,
) -> None:
    """List, describe or build."""
    from polyrec.cli.files import log, show
    from polyrec.cli.progress import bars
    from polyrec.data import named
    from polyrec.errors import ConfigError

    if name is None:
        if source is not None or out is not None:
            raise ConfigError(f"--from and --out are for one data set. Name one of: {', '.join(named.names())}.")
        show("\n\n".join(_line(named.get(one)) for one in named.names()))
        return
    dataset = named.get(name)
    if source is None and out is None:
        show(_about(dataset))
        return
    if source is None or out is None:
        raise ConfigError(f"--from and --out go together: polyrec data {name} --from DIR --out DIR.")
    with bars() as progress:
        made = named.make(dataset, source, out, strict=strict, progress=progress)
    show(_counts(made))
    for one in made.differences:
        log(f"differs: {one}.")
    for one in made.notes:
        log(f"note: {one}.")
    for one in dataset.leaks:
        log(f"beware: {one}.")
    log(f"log:     {', '.join(str(out / f'{part}.parquet') for part in made.parts)}")
    log(f"schema:  {out / 'schema.toml'}\nrun:     {out / 'run.toml'}")


def _line(dataset: "DataSet") -> str:
    what = f"  title      {dataset.title}\n  scenarios  {dataset.scenarios}"
    return f"{dataset.name}\n{what}\n  from       {dataset.where}\n  terms      {dataset.terms}"


def _about(dataset: "DataSet") -> str:
    lines = [dataset.title, f"from       {dataset.where}", f"terms      {dataset.terms}"]
    if dataset.unpack:
        lines.append(f"unpack     {dataset.unpack}")
    lines += [f"scenarios  {dataset.scenarios}", f"labels     {dataset.labels}", f"split      {dataset.split}"]
    lines.append(f"protocol   {dataset.source}")
    for file in dataset.files:
        size = f"{file.bytes:,} bytes" if file.bytes is not None else "size not published"
        check = f"MD5 {file.md5}" if file.md5 else "checksum not published"
        lines.append(f"file       {file.name}: {file.what}{' (optional)' if file.optional else ''}; {size}; {check}")
    lines += [f"beware     {one}" for one in dataset.leaks]
    return "\n".join(lines)


def _counts(made: "Made") -> str:
    """Rows and rates by part and scenario."""
    head = ("part", "scenario", "rows", *made.labels)
    cells = [
        (part, scenario, f"{rows:,}", *(f"{one / rows:.2%}" for one in ones))
        for (part, scenario), (rows, *ones) in made.counts.items()
    ]
    widths = [max(len(row[place]) for row in (head, *cells)) for place in range(len(head))]
    lines = []
    for row in (head, *cells):
        text = [
            cell.ljust(wide) if place < 2 else cell.rjust(wide)
            for place, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(text).rstrip())
    return "\n".join(lines)
