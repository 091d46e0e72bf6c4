"""`polyrec`: commands, exit codes and how errors are told."""

import sys
import traceback
from typing import Annotated

import typer

from polyrec.cli import (
    adapt,
    bench,
    compare,
    data,
    demo,
    evaluate,
    export,
    fit,
    index,
    inspect,
    predict,
    recipes,
    retrieve,
    rollback,
    serve,
    simulate,
    tune,
    update,
)
from polyrec.cli.disk import worded
from polyrec.cli.files import only_rows_by_address
from polyrec.cli.stopping import stoppable

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One recommendation model for every scenario and every task, over the entire space.",
)
# In the order in which a newcomer meets them; their files import the library only when they run.
for command in (
    demo,
    inspect,
    fit,
    evaluate,
    predict,
    update,
    rollback,
    adapt,
    index,
    retrieve,
    compare,
    tune,
    bench,
    export,
    serve,
    recipes,
    simulate,
    data,
):
    app.command(command.__name__.rpartition(".")[2], help=command.HELP, short_help=command.HELP.partition("\n")[0])(
        # a server stops in its own way
        only_rows_by_address(worded(command.run if command is serve else stoppable(command.run)))
    )


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the command."""
    _ = debug


def main() -> None:
    """Run the command line; exit 0 done, 2 the user's mistake, 1 a fault of ours."""
    from polyrec.allocator import keep_freed
    from polyrec.cli.memory import memory
    from polyrec.errors import PolyrecError

    keep_freed()
    debug = "--debug" in sys.argv
    sys.argv = [sys.argv[0], *(one for one in sys.argv[1:] if one != "--debug")]
    try:
        app(prog_name="polyrec")
    except PolyrecError as reason:
        _tell(str(reason), debug, 2)
    except OSError as reason:
        _tell(_plainly(reason), debug, 2)
    except Exception as reason:
        if (said := memory(reason)) is not None:
            _tell(said, debug, 2)
        fault = f"{type(reason).__name__}: {reason}. This is a fault of polyrec: run with --debug and report it."
        _tell(fault, debug, 1)


def _plainly(reason: OSError) -> str:
    place = f": {reason.filename}" if reason.filename else ""
    return f"{str(reason.strerror or reason).rstrip('.')}{place}."


def _tell(text: str, debug: bool, code: int) -> None:
    from polyrec.distributed import world

    if debug:
        traceback.print_exc()
    elif not world().tell_once():  # another process of the run has said why it ends
        raise SystemExit(code)
    sys.stderr.write(f"polyrec: {text}\n")
    raise SystemExit(code)
