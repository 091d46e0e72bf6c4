"""Words to the terminal, and outputs that must not overwrite what they should not."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

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


def check_output(path: Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse an output file that is a folder or one of the inputs.

    Raises:
        ConfigError: which, and what to do.
    """
    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder. Name a file in it.")
    for one in inputs:
        if path.resolve() == Path(one).resolve():
            raise ConfigError(f"--out {path} is one of the files that are read: it would be lost. Name another file.")
