"""What a disk that takes no more is told as, whichever library met it."""

import errno
import re
from pathlib import Path

_SAYS = {  # as the operating system numbers it: what is wrong, and what to do
    errno.ENOSPC: ("the disk is full", "Free some space, or name an --out on another disk"),
    errno.EDQUOT: ("your share of the disk is used up", "Free some space, or name an --out on another disk"),
    errno.EROFS: ("the disk is read-only", "Name an --out elsewhere"),
    errno.EACCES: ("you may not read or write here", "Change the rights of the file or folder, or name another"),
    errno.EPERM: ("you may not write here", "Change the rights of the file or folder, or name another"),
}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ONLY_AT_A_PLACE = (errno.EACCES, errno.EPERM)  # a port may be forbidden too
_NUMBER = re.compile(r"(?:os error|\berrno|\bcode:?) (\d+)", re.IGNORECASE)
_NAME = re.compile(r"'(/[^']+)'")
_TEMPORARY = re.compile(r"^\.(.+)\.\d+\.tmp$")  # as `atomic` calls what is not whole yet


def disk(reason: Exception) -> str | None:
    """In words, that nothing could be written, and where; None where something else went wrong.

    Example:
        >>> print(disk(OSError(errno.EROFS, "Read-only file system", "/runs/.p.parquet.17.tmp")))
        the disk is read-only: /runs/p.parquet. Name an --out elsewhere.
        >>> disk(ValueError("3 is not a number")) is None
        True
    """
    text = str(reason)
    found, named = _NUMBER.search(text), _NAME.search(text)
    number = getattr(reason, "errno", None) or (int(found[1]) if found else None)
    place = getattr(reason, "filename", None) or (named[1] if named else None)
    if number not in _SAYS or (number in _ONLY_AT_A_PLACE and place is None):
        return None
    what, remedy = _SAYS[number]
    where = f": {_whole(str(place))}" if place is not None else ""
    left = " Nothing half-written is left." if number in _FULL else ""
    return f"{what}{where}.{left} {remedy}."


def _whole(place: str) -> str:
    """The path that a temporary file or folder was to become."""
    parts = [match[1] if (match := _TEMPORARY.match(part)) else part for part in Path(place).parts]
    return str(Path(*parts))
