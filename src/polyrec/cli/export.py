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
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="Of an autoifs model this scenario alone, adapters merged.")
    ] = None,
) -> None:
    """Export and check."""
    from polyrec.artifact.export import bundle_of, export
    from polyrec.cli.files import log
    from polyrec.errors import ConfigError

    if out.exists() and not (out / "manifest.json").is_file():
        raise ConfigError(f"--out {out} exists and is no bundle: it would be lost. Name another folder.")
    if out.resolve() == bundle_of(folder).resolve() or folder.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"--out {out} is the bundle that is read. Name another folder.")
    if scenario is None:
        log(f"bundle: {out} ({export(folder, out).identity})")
        return
    from tempfile import TemporaryDirectory

    from polyrec.artifact import Bundle, golden
    from polyrec.recipes.alone import alone, golden_of, is_merged

    bundle = Bundle.load(bundle_of(folder))
    single = alone(bundle, scenario)
    with TemporaryDirectory() as between:
        rows = golden_of(golden.read(bundle_of(folder)), bundle.schema.keys.scenario, scenario)
        single.save(Path(between) / "bundle", rows)
        manifest = export(Path(between) / "bundle", out)
    how = "adapters merged" if is_merged(single) else "a flow is pruned or fused by itself: adapters stay"
    before = f"{bundle.manifest.parameters:,} parameters before"
    log(f"bundle: {out} ({manifest.identity}), {manifest.parameters:,} parameters, {before}; {how}")
