"""Files and folders that appear whole or not at all."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path


def is_address(path: object) -> bool:
    """Whether it begins with a scheme of two letters or more: `s3://bucket/log`, and not `C://log` or `a/s3://b`.

    A `Path` that was made of an address has lost a stroke, and is still known by the rest.

    Example:
        >>> is_address("memory://log.parquet"), is_address("C://log.parquet"), is_address(Path("s3://bucket/log"))
        (True, False, True)
    """
    scheme = r"[A-Za-z][A-Za-z0-9+.-]+:/" if isinstance(path, Path) else r"[A-Za-z][A-Za-z0-9+.-]+://"
    return re.match(scheme, str(path)) is not None


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block ends well and removed when it does not.

    Raises:
        FileExistsError: `path` is a folder or a device.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with whole_file(folder / "a.txt") as target:
        ...     _ = target.write_text("whole")
        >>> [found.name for found in folder.iterdir()]
        ['a.txt']
    """
    path = Path(path).resolve()  # through a link: the link stays one
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path} is a folder or a device: a file is not put in its place. Name a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well.

    What stood at `path` before is removed only after the new folder is there.

    Raises:
        FileExistsError: `path` is a file or a device.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file or a device: a folder is not put in its place. Name a folder.")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for found in temporary.rglob("*"):
            _sync(found)
        _sync(temporary)
        _swap(temporary, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file whole."""
    with whole_file(path) as target:
        target.write_text(text, encoding="utf-8")
    return Path(path)


def _remove_leftovers(path: Path) -> None:
    """What writers of the same file or folder left that were killed: nobody else would take it away."""
    for found in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        writer = found.name[len(path.name) + 2 : -len(".tmp")]
        if not writer.isdigit() or _runs(int(writer)):
            continue
        if found.is_dir():
            shutil.rmtree(found, ignore_errors=True)
        else:
            with suppress(OSError):
                found.unlink()


def _runs(process: int) -> bool:
    if os.name != "posix":  # elsewhere the question would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
