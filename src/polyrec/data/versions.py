"""Whether a file at an address is still the one that was listed."""

from functools import partial
from pathlib import Path

from polyrec.data.places import Address, Place, asked, patient
from polyrec.errors import DataError

_SECOND = 10**9


def known(one: Place) -> Place:
    """The same file, with what its system says of it where nobody has asked yet.

    Raises:
        DataError: it does not exist or cannot be asked for.

    Example:
        >>> import fsspec
        >>> fsspec.filesystem("memory").pipe("/known/log.csv", b"x")
        >>> known(Address("memory://known/log.csv")).size
        1
    """
    if isinstance(one, Path) or one.size is not None or one.changed is not None:
        return one
    return patient(partial(asked, one), one)


def check_same(one: Address) -> None:
    """See that a file has the size and the version that are known of it.

    Times are compared by the second: some systems tell them more exactly in listings than of one file.

    Raises:
        DataError: it has become another file, or is gone.
        OSError: its system fails.

    Example:
        >>> import fsspec
        >>> fsspec.filesystem("memory").pipe("/same/log.csv", b"x")
        >>> check_same(known(Address("memory://same/log.csv")))
        >>> check_same(Address("memory://same/log.csv", size=2))
        Traceback (most recent call last):
        ...
        polyrec.errors.DataError: memory://same/log.csv changed while it was read. Run the same command again ...
    """
    if one.size is None and one.changed is None:
        return
    now = asked(one)
    if _differ(one.size, now.size) or _differ(one.changed, now.changed, _SECOND):
        raise DataError(
            f"{one} changed while it was read. Run the same command again once nothing writes to it any more: a run "
            "that has begun on the earlier version in another --out."
        )


def _differ(one: int | None, other: int | None, unit: int = 1) -> bool:
    return one is not None and other is not None and one // unit != other // unit
