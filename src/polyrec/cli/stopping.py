"""What Ctrl-C and SIGTERM do to a command: everything half-written is taken away, and one line says so."""

import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from inspect import signature
from types import FrameType
from typing import Any

import typer

CODE = 130  # what shells give for a command that Ctrl-C ended
TIDY = 5.0  # seconds in which a second signal is not heeded: it would break off what takes half-written files away
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stoppable(run: Callable[..., None]) -> Callable[..., None]:
    """The command, with words and exit code 130 when it is interrupted."""
    resumable = "resume" in signature(run).parameters

    @wraps(run)
    def wrapped(*arguments: Any, **options: Any) -> None:
        stop = _Stop()
        before = {one: signal.signal(one, stop) for one in _SIGNALS}
        try:
            run(*arguments, **options)
        except KeyboardInterrupt as reason:
            before = dict.fromkeys(_SIGNALS, signal.SIG_IGN)  # the process is about to end, with this code
            usual = "run again with --resume to go on" if resumable else "nothing was written"
            sys.stderr.write(f"polyrec: interrupted: {str(reason).rstrip('.') or usual}.\n")
            raise typer.Exit(CODE) from None
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    return wrapped


class _Stop:
    """Interrupts at the first signal, and again only when tidying up has had its time."""

    def __init__(self) -> None:
        self.until = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        now = time.monotonic()
        if now >= self.until:
            self.until = now + TIDY
            raise KeyboardInterrupt
