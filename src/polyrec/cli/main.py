"""`polyrec`: commands, exit codes and how errors are told."""

import importlib
import sys
from typing import Annotated

import click
import typer
from typer.core import TyperGroup

COMMANDS = {
    "demo": "the main job on real data, end to end",
    "inspect": "infer a schema; name leaks and traps in a log",
    "fit": "train a recipe from a run file",
    "evaluate": "the report of a bundle on other rows",
    "predict": "probabilities for rows",
    "compare": "which cells gained, lost, or cannot be told",
    "recipes": "every recipe, one line each",
}


class Lazy(TyperGroup):
    """A group that imports a command's file only when it is asked for, so that help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order that a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the command's module and let typer build it."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"polyrec.cli.{name}")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name=name, help=module.HELP)(module.run)
        return typer.main.get_command(app)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line a command, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(cls=Lazy, add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback(help="One recommendation model for every scenario and every task, over the entire space.")
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the command."""
    _ = debug


def main() -> None:
    """Run the command line; exit 0 done, 2 the user's mistake, 1 a fault of ours."""
    from polyrec.errors import PolyrecError

    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    command = typer.main.get_command(app)
    try:
        code = command.main([one for one in arguments if one != "--debug"], "polyrec", standalone_mode=False)
    except click.ClickException as reason:
        reason.show()
        code = 2
    except click.exceptions.Abort:
        code = 130
    except PolyrecError as reason:
        code = _tell(str(reason), reason, debug, 2)
    except KeyboardInterrupt:
        code = _tell("interrupted.", None, debug, 130)
    except OSError as reason:
        code = _tell(f"{reason.strerror or reason}: {reason.filename or 'a file'}.", reason, debug, 2)
    except Exception as reason:
        text = f"{type(reason).__name__}: {reason}. This is a fault of polyrec: run again with --debug and report it."
        code = _tell(text, reason, debug, 1)
    sys.stdout.flush()
    raise SystemExit(code if isinstance(code, int) else 0)


def _tell(text: str, reason: BaseException | None, debug: bool, code: int) -> int:
    if debug and reason is not None:
        import traceback

        traceback.print_exception(reason)
    sys.stderr.write(f"polyrec: {text}\n")
    return code
