"""Words to the terminal, and outputs that must not overwrite what they should not."""

import os
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

from polyrec.atomic import is_address
from polyrec.errors import ConfigError


def log(text: str) -> None:
    """A line of progress, on stderr: stdout is for results."""
    sys.stderr.write(text + "\n")


def show(text: str) -> None:
    """A result, on stdout; nowhere, once its reader has gone (`polyrec inspect ... | head`)."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of the work is done all the same


def only_rows_by_address(run: Callable[..., None]) -> Callable[..., None]:
    """The command, which refuses addresses where it writes, or reads what is not rows."""

    @wraps(run)
    def wrapped(*arguments: Any, **options: Any) -> None:
        for value in options.values():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, Path) and is_address(one):
                    raise ConfigError(
                        f"{one} is an address. Rows are read by one; all else is read and written on local paths: "
                        "name one, and copy."
                    )
        run(*arguments, **options)

    return wrapped


def check_output(path: Path, inputs: Iterable[object] = ()) -> None:
    """Refuse an output file that is a folder or one of the inputs.

    Raises:
        ConfigError: which, and what to do.
    """
    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder. Name a file in it.")
    for one in inputs:
        if isinstance(one, str | Path) and path.resolve() == Path(one).resolve():
            raise ConfigError(f"--out {path} is one of the files that are read: it would be lost. Name another file.")
