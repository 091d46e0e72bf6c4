"""`polyrec serve`."""

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

HELP = """HTTP scoring and recommending from a bundle, with health, metrics and a page at /.

POLYREC_TOKEN holds the token of /reload; without one, /reload is shut. Stops on SIGTERM after it has answered what it
took.

Example: polyrec serve runs/mmoe/bundle --items log.parquet --port 8000
"""


def run(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder; export writes one that serves fastest.")],
    host: Annotated[str, typer.Option("--host", help="Where to listen; this machine alone by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8000,
    items: Annotated[
        list[str] | None, typer.Option("--items", help="Items that /recommend ranks: one row an item, or a log.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", help="A bundle of two towers whose index finds items to rank.")
    ] = None,
    root: Annotated[Path | None, typer.Option("--root", help="Where /reload may read; the bundle's parent.")] = None,
    threads: Annotated[int, typer.Option("--threads", help="Of one run of the program.")] = 1,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds of one request.")] = 2.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No access log.")] = False,
    pages: Annotated[bool, typer.Option("--page/--no-page", help="The page, which shows golden rows.")] = True,
) -> None:
    """Serve until stopped."""
    from polyrec.cli.files import log
    from polyrec.data.files import expand
    from polyrec.declare import parse
    from polyrec.errors import ConfigError, NotReadyError
    from polyrec.serving.limits import Limits

    try:
        from polyrec.serving.model import Sources
        from polyrec.serving.server import Server, calm_collector, log_to_stderr
        from polyrec.serving.service import Settings
    except ModuleNotFoundError as reason:
        raise NotReadyError(f"serving needs {reason.name}: pip install 'polyrec[serve]'.") from reason
    limits = parse(Limits, {"seconds": timeout}, "--timeout")
    token = os.environ.get("POLYREC_TOKEN") or None
    if items and index:
        raise ConfigError("--items and --index both say what is ranked. Give one of them.")
    paths = expand(items) if items else ()
    settings = Settings(bundle, root or bundle.resolve().parent, Sources(paths, index), token, threads, limits)
    server = Server(settings, host, port, pages=pages)
    calm_collector()
    log_to_stderr(access=not quiet)
    address = server.listen()
    log(f"serving {server.service.model.identity} on {address}")
    if host not in ("127.0.0.1", "::1", "localhost"):
        log("other machines can reach this server: put it behind one that knows who may.")
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: None)  # the server catches them, stops, and sends them on
    server.run()
