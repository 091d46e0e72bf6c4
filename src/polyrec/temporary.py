"""Folders below TMPDIR that go with the process that made them, however it ends."""

import os
import re
import shutil
import socket
import tempfile
from contextlib import suppress
from functools import cache
from glob import escape
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on this system: what a killed process leaves is left there
    fcntl = None  # type: ignore[assignment]

_OPEN = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_UNKNOWN = -1
_ours: dict[Path, tuple[int, int]] = {}  # by folder: the process that made it, and its handle


def folder() -> Path:
    """A new folder `polyrec-HOST-BOOT.XXXXXXXX`, locked while this process and those forked from it live.

    Example:
        >>> made = folder()
        >>> sweep()
        >>> made.exists(), remove(made), made.exists()
        (True, None, False)
    """
    sweep()
    while True:
        made = Path(tempfile.mkdtemp(prefix=_prefix()))
        try:
            handle = _lock(made)
        except OSError:
            made.rmdir()
            raise
        if handle is not None and made.exists():  # a sweep may have come between
            _ours[made] = os.getpid(), handle
            return made
        _close(handle)


def remove(path: Path) -> None:
    """Remove a folder of this process; one forked from it leaves it alone."""
    maker, handle = _ours.get(path, (os.getpid(), _UNKNOWN))
    if maker == os.getpid():
        shutil.rmtree(path, ignore_errors=True)
        _ours.pop(path, None)
        _close(handle)


def remove_all() -> None:
    """Remove every folder of this process, which is about to end without saying goodbye."""
    for path in list(_ours):
        remove(path)


def sweep() -> None:
    """Remove what processes of this machine left that were killed: folders that are locked no more.

    What other machines made in a shared TMPDIR, or this one before it was started last, is left alone, and so is all
    where locks are unknown.
    """
    for found in Path(tempfile.gettempdir()).glob(f"{escape(_prefix())}*"):
        try:
            handle = None if found in _ours else _lock(found)
        except OSError:  # no more files can be opened, say
            return
        if handle is not None and handle != _UNKNOWN:
            shutil.rmtree(found, ignore_errors=True)
        _close(handle)


@cache
def _prefix() -> str:
    """Of this machine since it was started last: two of one name that share TMPDIR may not see each other's locks."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    since = boot.read_text(encoding="ascii")[:8] if boot.exists() else "0"
    return f"polyrec-{re.sub('[^A-Za-z0-9-]', '-', socket.gethostname())}-{since}."


def _lock(path: Path) -> int | None:
    """A handle that holds the folder; None where another process does, or it is gone; -1 where nobody can tell."""
    if fcntl is None:
        return _UNKNOWN
    try:
        handle = os.open(path, _OPEN)
    except FileNotFoundError:
        return None
    except PermissionError:  # another user's
        return _UNKNOWN
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:  # a file system without locks
        os.close(handle)
        return _UNKNOWN
    return handle


def _close(handle: int | None) -> None:
    if handle is not None and handle != _UNKNOWN:
        with suppress(OSError):
            os.close(handle)
