"""What Ctrl-C and SIGTERM do to a command: everything half-written is taken away, and one line says so."""

import signal
import sys
from collections.abc import Callable
from functools import wraps
from inspect import signature
from types import FrameType
from typing import Any

import typer

CODE = 130  # what shells give for a command that Ctrl-C ended


def stoppable(run: Callable[..., None]) -> Callable[..., None]:
    """The command, with words and exit code 130 when it is interrupted."""
    resumable = "resume" in signature(run).parameters

    @wraps(run)
    def wrapped(*arguments: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _interrupt)  # else temporary files would stay
        try:
            run(*arguments, **options)
        except KeyboardInterrupt as reason:
            usual = "run again with --resume to go on" if resumable else "nothing was written"
            sys.stderr.write(f"polyrec: interrupted: {str(reason).rstrip('.') or usual}.\n")
            raise typer.Exit(CODE) from None

    return wrapped


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
