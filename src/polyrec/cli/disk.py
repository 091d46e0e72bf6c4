"""What a disk that takes no more is told as, and how the command goes on then."""

import errno
import re
from collections.abc import Callable
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any

from polyrec.disk import FULL, met
from polyrec.errors import NotReadyError, PolyrecError

_SAYS = {  # as the operating system numbers it: what is wrong, and what to do
    errno.ENOSPC: ("the disk is full", "Free some space, or name an --out on another disk"),
    errno.EDQUOT: ("your share of the disk is used up", "Free some space, or name an --out on another disk"),
    errno.EROFS: ("the disk is read-only", "Name an --out elsewhere"),
    errno.EACCES: ("you may not read or write here", "Change the rights of the file or folder, or name another"),
    errno.EPERM: ("you may not write here", "Change the rights of the file or folder, or name another"),
}
_ONLY_AT_A_PLACE = (errno.EACCES, errno.EPERM)  # a port may be forbidden too
_TEMPORARY = re.compile(r"^\.(.+)\.\d+\.tmp$")  # as `atomic` calls what is not whole yet
_AGAIN = ("bench", "tune", "update")  # go on when they are called again


def worded(run: Callable[..., None]) -> Callable[..., None]:
    """The command, whose disk that takes no more is told in words.

    Raises:
        NotReadyError: the words, with how to go on if it can.
    """
    again = "give the same command again" if run.__module__.rpartition(".")[2] in _AGAIN else ""
    again = "run again with --resume" if "resume" in signature(run).parameters else again

    @wraps(run)
    def wrapped(*arguments: Any, **options: Any) -> None:
        try:
            run(*arguments, **options)
        except PolyrecError:
            raise
        except Exception as reason:
            said = disk(reason, again)
            if said is None:
                raise
            raise NotReadyError(said) from reason

    return wrapped


def disk(reason: Exception, again: str = "") -> str | None:
    """In words, that nothing could be written, and where; None where something else went wrong.

    Args:
        reason: of whichever library.
        again: how the command goes on from what it has finished, if it does.

    Example:
        >>> print(disk(OSError(errno.EROFS, "Read-only file system", "/runs/.p.parquet.17.tmp")))
        the disk is read-only: /runs/p.parquet. Name an --out elsewhere.
        >>> print(disk(OSError(errno.ENOSPC, "No space left on device", "/runs/run.toml"), "run again with --resume"))
        the disk is full: /runs/run.toml. What was finished is kept. Free some space and run again with --resume.
        >>> disk(ValueError("3 is not a number")) is None
        True
    """
    found = met(reason)
    if found is None or found.errno not in _SAYS or (found.errno in _ONLY_AT_A_PLACE and found.filename is None):
        return None
    what, remedy = _SAYS[found.errno]
    where = f": {_whole(str(found.filename))}" if found.filename is not None else ""
    left = ""
    if found.errno in FULL:
        left = " What was finished is kept." if again else " Nothing half-written is left."
        remedy = f"Free some space and {again}" if again else remedy
    return f"{what}{where}.{left} {remedy}."


def _whole(place: str) -> str:
    """The path that a temporary file or folder was to become."""
    parts = [match[1] if (match := _TEMPORARY.match(part)) else part for part in Path(place).parts]
    return str(Path(*parts))
