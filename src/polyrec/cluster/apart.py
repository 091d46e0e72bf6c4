"""A command on Ray in a process of its own that can be ended at any point, as Ray by its own way out cannot."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from polyrec import temporary
from polyrec.cluster.beside import beside
from polyrec.cluster.connect import ADDRESS
from polyrec.errors import ConfigError, NotReadyError

LED = "POLYREC_LED"  # set for the process that leads the work; the one that watches it holds the end of its stdin
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
_GRACE, _LAST, _LOOK = 1.0, 10.0, 0.05  # seconds: for Ray to end by itself, for all, between two looks


def led() -> bool:
    """Whether this process leads the work: then it ends by the one that watches it, or with it, and by no signal."""
    if os.environ.pop(LED, None) is None:  # a worker is to find nothing of it
        return False
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: None)  # unlike SIG_IGN it is not passed on to Ray's processes
    Thread(target=_end_with_watcher, name="polyrec-watcher", daemon=True).start()
    return True


def watched(arguments: Sequence[str], out: Path, tidy: Callable[[], None]) -> int:
    """Run `python -m polyrec ARGUMENTS` as the process that leads; its exit code.

    Where that is not 0, or an interrupt comes, it is ended, and with it the Ray that it started; what was in
    `.NAME.ray` goes, and `tidy` is called while this command alone has `out`. A cluster that it joined ends its workers
    by itself.

    Raises:
        NotReadyError: it was ended by a signal, as by a system without memory.
    """
    ours = ADDRESS not in os.environ and _adopt()
    leader = subprocess.Popen(
        [sys.executable, "-m", "polyrec", *arguments],
        env={**os.environ, LED: "1"},
        stdin=subprocess.PIPE,
        start_new_session=True,  # a terminal's Ctrl-C comes here alone
    )
    try:
        while (code := leader.poll()) is None:
            time.sleep(_LOOK)  # a signal that another thread takes does not break a longer wait
    finally:
        leader.kill()
        if leader.wait() != 0:
            _end(time.monotonic() if ours else None)
            _remove(out, tidy)
    if code < 0:
        raise NotReadyError(
            f"the process that leads the work was ended by {signal.Signals(-code).name}, as by a system that is short "
            "of memory; Ray's logs may say more. Run the same command again (fit: with --resume) to go on."
        )
    return code


def unfinished(out: Path) -> None:
    """Remove what workers had half written when they were ended."""
    for left in out.glob("**/.*.[0-9]*.tmp"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _adopt() -> bool:
    """Become the parent of every process below whose own parent ends; whether this system can do that."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):  # another C library
        return False


def _end(begun: float | None) -> None:
    """Until all processes below have ended, which those of Ray do when the one that leads is gone."""
    if begun is None:  # they are not below this one
        time.sleep(_GRACE)
        return
    with suppress(ChildProcessError):  # none is left
        while (passed := time.monotonic() - begun) < _LAST:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            if passed > _GRACE:
                _kill()
            time.sleep(_LOOK)


def _kill() -> None:
    for listed in Path("/proc/self/task").glob("*/children"):
        for child in listed.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


def _remove(out: Path, tidy: Callable[[], None]) -> None:
    """Take away what is half-written."""
    temporary.sweep()
    if out.parent.is_dir():
        with suppress(ConfigError), beside(out):  # another command has it
            tidy()


def _end_with_watcher() -> None:
    while os.read(0, 1):
        pass
    temporary.remove_all()
    os._exit(1)
