"""Where what does not fit in memory lies while it is needed, and how much memory may hold."""

import errno
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from polyrec import temporary
from polyrec.errors import ConfigError, NotReadyError

MEMORY = "POLYREC_VOCABULARY_MB"  # what counting values and holding those that are known may take, about
DEFAULT = 2_048
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SHARE = 6  # sorting, merging and handing on take so many times what is sorted


def held_at_most() -> int:
    """Bytes of values that are held before they go to disk: a sixth of POLYREC_VOCABULARY_MB, for sorting takes more.

    Raises:
        ConfigError: the variable is not a number above 0.
    """
    text = os.environ.get(MEMORY, str(DEFAULT))
    try:
        bytes_ = int(float(text) * 1e6)
    except (ValueError, OverflowError):
        bytes_ = 0
    if bytes_ < 1:
        raise ConfigError(f"{MEMORY} = {text!r} must be a number of megabytes above 0, for example {DEFAULT}.")
    return max(bytes_ // _SHARE, 1)


class Space:
    """A folder below TMPDIR, made when it is first needed and removed with what is in it when the block ends.

    Raises:
        NotReadyError: at the end of a block in which the disk was full.

    Example:
        >>> with Space() as space:
        ...     _ = space.file().write_text("run")
        ...     folder = space.folder
        >>> folder.exists()
        False
    """

    def __init__(self) -> None:
        self.most = held_at_most()  # bytes in memory
        self._made: Path | None = None
        self._files = 0

    def __enter__(self) -> Self:
        temporary.sweep()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made is not None:
            temporary.remove(self._made)
        if isinstance(reason, OSError) and reason.errno in _FULL:
            raise NotReadyError(
                f"values that do not fit in memory cannot be written to {tempfile.gettempdir()}: {reason}. Set TMPDIR "
                f"to a folder with more space, raise {MEMORY} (now {os.environ.get(MEMORY, DEFAULT)}), or give "
                "features with many values min_count or hash in the schema."
            ) from reason

    @property
    def folder(self) -> Path:
        """Where it is."""
        if self._made is None:
            self._made = temporary.folder()
        return self._made

    def file(self) -> Path:
        """A path that nothing has been written to."""
        self._files += 1
        return self.folder / str(self._files)
