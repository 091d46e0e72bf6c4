"""The operating system's own words about a disk, in whichever library's error they are."""

import errno
import os
import re
from collections.abc import Iterator

FULL = (errno.ENOSPC, errno.EDQUOT)
_NUMBER = re.compile(r"(?:os error|\berrno|\bcode:?) (\d{1,3})\b", re.IGNORECASE)
_NAME = re.compile(r"'(/[^']+)'")


def met(reason: BaseException) -> OSError | None:
    """The system's error that an error is or tells of, with the place if it is named; None where it is no such thing.

    Example:
        >>> found = met(RuntimeError("cannot write '/runs/p.parquet': No space left on device (os error 28)"))
        >>> found.errno == errno.ENOSPC, found.filename
        (True, '/runs/p.parquet')
        >>> met(ValueError("3 is not a number")) is None
        True
    """
    text = str(reason)
    found, named = _NUMBER.search(text), _NAME.search(text)
    number = getattr(reason, "errno", None) or (int(found[1]) if found else None)
    if not isinstance(number, int):
        return None
    place = getattr(reason, "filename", None) or (named[1] if named else None)
    return OSError(number, os.strerror(number), place)


def full(reason: BaseException) -> OSError | None:
    """The full disk that an error came of, whatever it was made into since.

    Example:
        >>> try:
        ...     raise KeyError("a") from OSError(errno.ENOSPC, "No space left on device", "/runs/a")
        ... except KeyError as reason:
        ...     full(reason).filename
        '/runs/a'
    """
    found = (met(one) for one in _chain(reason))
    return next((one for one in found if one is not None and one.errno in FULL), None)


def _chain(reason: BaseException | None) -> Iterator[BaseException]:
    while reason is not None:
        yield reason
        reason = reason.__cause__ or (None if reason.__suppress_context__ else reason.__context__)
