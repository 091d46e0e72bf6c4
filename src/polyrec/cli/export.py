"""`polyrec export`."""

from pathlib import Path
from typing import Annotated

import typer

HELP = """A bundle with its ONNX program: it scores faster, and is proven equal to the model before it is written.

Example: polyrec export runs/mmoe --out bundles/mmoe
"""


def run(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or a bundle.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle to write; what stood there is replaced.")],
) -> None:
    """Export and check."""
    from polyrec.artifact.export import bundle_of, export
    from polyrec.cli.files import log
    from polyrec.errors import ConfigError

    if out.exists() and not (out / "manifest.json").is_file():
        raise ConfigError(f"--out {out} exists and is no bundle: it would be lost. Name another folder.")
    if out.resolve() == bundle_of(folder).resolve() or folder.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"--out {out} is the bundle that is read. Name another folder.")
    manifest = export(folder, out)
    log(f"bundle: {out} ({manifest.identity})")
