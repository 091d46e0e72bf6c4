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

from polyrec.__main__ import CODE

TIDY = 5.0  # seconds in which a second signal is not heeded: it would break off what takes half-written files away
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """By a signal. Python itself ends by SIGINT when a plain one has passed through `exec`, whoever caught it then."""


def stoppable(run: Callable[..., None]) -> Callable[..., None]:
    """The command, with words and exit code 130 when it is interrupted."""
    resumable = "resume" in signature(run).parameters

    @wraps(run)
    def wrapped(*arguments: Any, **options: Any) -> None:
        stop = _Stop()
        before = {one: signal.signal(one, stop) for one in _SIGNALS}
        try:
            run(*arguments, **options)
        except (Exception, KeyboardInterrupt) as reason:
            interrupt = isinstance(reason, KeyboardInterrupt)
            if isinstance(reason, typer.Exit) or not (interrupt or stop.lately):
                raise
            before = dict.fromkeys(_SIGNALS, signal.SIG_IGN)  # the process is about to end, with this code
            usual = "run again with --resume to go on" if resumable else "nothing was written"
            said = str(reason).rstrip(".") if interrupt else ""  # a library turned it into an error of its own
            sys.stderr.write(f"polyrec: interrupted: {said or usual}.\n")
            raise typer.Exit(CODE) from None
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    return wrapped


class _Stop:
    """Interrupts at the first signal, and again only when tidying up has had its time."""

    def __init__(self) -> None:
        self.until = 0.0

    @property
    def lately(self) -> bool:
        """Whether a signal came within the last moments: an error that follows is its doing."""
        return time.monotonic() < self.until

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if not self.lately:
            self.until = time.monotonic() + TIDY
            raise Stopped
