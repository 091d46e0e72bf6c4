"""The folder beside `--out` that a command on a cluster works in: every machine sees it, and one command has it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from polyrec.errors import ConfigError

_LOCK = "lock"


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A new folder in `.NAME.ray` beside `out`, removed in the end with what a killed command left there.

    A file in it is locked meanwhile; a lock goes with its process, and holds for other machines where their file system
    passes locks on (NFS does). Where there are no locks, each command removes its own folder alone.

    Raises:
        ConfigError: another command has it.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp()) / "run"
        >>> with beside(out) as folder:
        ...     folder.parent.name, folder.exists()
        ('.run.ray', True)
        >>> folder.parent.exists()
        False
    """
    whole = out.with_name(f".{out.name}.ray")
    handle = _locked(whole, out)
    own = whole / uuid4().hex
    try:
        if handle is not None:
            _empty(whole)
        own.mkdir(parents=True)
        yield own
    finally:
        shutil.rmtree(own if handle is None else whole, ignore_errors=True)
        with suppress(OSError):
            whole.rmdir()
        if handle is not None:
            os.close(handle)


def _locked(whole: Path, out: Path) -> int | None:
    """A handle that holds the folder; None where there are no locks."""
    try:
        import fcntl
    except ImportError:  # not on this system
        return None
    while True:
        whole.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(whole / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)  # to be written: NFS locks no other
        except FileNotFoundError:  # removed in between
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(whole / _LOCK, handle):
                return handle
        except BlockingIOError as reason:
            os.close(handle)
            raise ConfigError(
                f"--out {out}: another command with --ray is at work on it. Wait for it to end, or name another folder."
            ) from reason
        except OSError:  # a file system without locks
            os.close(handle)
            (whole / _LOCK).unlink(missing_ok=True)
            return None
        os.close(handle)  # of a file that another command removed as it ended


def _is(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _empty(whole: Path) -> None:
    for left in whole.iterdir():
        if left.name != _LOCK:
            shutil.rmtree(left, ignore_errors=True)
