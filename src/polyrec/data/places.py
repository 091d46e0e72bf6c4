"""Where files are: local paths, and addresses such as `s3://bucket/log.parquet` on any system of pyarrow or fsspec."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from polyrec.atomic import is_address
from polyrec.data.ranged import Ranged
from polyrec.errors import DataError, PolyrecError

WAITS = (1.0, 4.0, 16.0)  # seconds before what failed is tried again
THREADS = 32  # requests at a time to a system that is not a local path
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/?]*)/?(.*)", re.DOTALL)
_QUERY = re.compile(r"\?[A-Za-z_]\w*=[^/?]*(?:://[^/?]*)?$")
_ARROW = ("file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")  # pyarrow's own; the others are fsspec's
_PATIENCE = "retry_limit_seconds=60"  # Google's client tries for 15 minutes where nobody says otherwise
SIGNS = re.compile(r"[*?[]")
_DENIED = re.compile(r"denied|forbidden|\b40[13]\b|credential|authenticat|access token|permission", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A file on a system that pyarrow or fsspec reads, and what a listing said of it.

    Example:
        >>> one = Address("s3://bucket/day=1/log.csv?region=eu-west-1")
        >>> one.name, one.stem, one.suffix, str(one)
        ('log.csv', 'log', '.csv', 's3://bucket/day=1/log.csv?region=eu-west-1')
    """

    text: str
    size: int | None = field(default=None, compare=False, repr=False)
    changed: int | None = field(default=None, compare=False, repr=False)  # a number that another version has not

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(parse(self.text)[2]).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The end of the name, from the last dot on."""
        return PurePosixPath(self.name).suffix


Place = Path | Address
T = TypeVar("T")


def place(text: str | Path | Address, size: int | None = None, changed: int | None = None) -> Place:
    """A local path, or an address as it is, of a text with what is known of its file."""
    if isinstance(text, Path | Address):
        return text
    return Address(text, size, changed) if is_address(text) else Path(text)


def mark(one: Place) -> tuple[int | None, int | None]:
    """Bytes of a file, and a number that changes when it does: a local file's time in nanoseconds.

    Raises:
        DataError: it does not exist or cannot be asked for.
    """
    if isinstance(one, Path):
        try:
            found = one.stat()
        except OSError as reason:
            raise DataError(f"{one} does not exist. Check the path.") from reason
        return found.st_size, found.st_mtime_ns
    if one.changed is None and one.size is None:
        with told_of(one):
            one = asked(one)
    return one.size, one.changed


def asked(one: Address) -> Address:
    """The same file, with what its system says of it now.

    Raises:
        DataError: it does not exist.
        OSError: its system fails.
    """
    system, path = inside(one.text)
    (info,) = system.get_file_info([path])
    if info.type == fs.FileType.NotFound:
        raise absent(one)
    return replace(one, size=info.size, changed=info.mtime_ns)


def marks(places: Sequence[Place], most: int = 1_000) -> dict[str, str]:
    """In words by file, what `mark` says; of more than `most` files one line for all."""
    if len(places) <= most:
        told = ((str(one), mark(one)) for one in places)
        return {name: f"{size} bytes, changed at {changed}" for name, (size, changed) in told}
    from hashlib import blake2b

    digest = blake2b(digest_size=16)
    for one in places:
        digest.update(repr((str(one), *mark(one))).encode())
    return {"files": f"{len(places):,}, of names, sizes and times {digest.hexdigest()}"}


@contextmanager
def opened(one: Place) -> Iterator[Path | pa.NativeFile]:
    """What pyarrow reads a file from: a path as it is; of an address a file that is read by ranges."""
    if isinstance(one, Path):
        yield one
        return
    system, path = inside(one.text)
    with system.open_input_file(path) as file:
        yield file


def patient(make: Callable[[], T], one: Address) -> T:
    """What `make` reads of a file, tried again where its system fails; in words if that does not help."""
    for wait in (*WAITS, None):
        try:
            return make()
        except (PolyrecError, pa.ArrowNotImplementedError):
            raise
        except Exception as reason:
            pause(wait, one, reason)
    raise AssertionError


def pause(wait: float | None, one: Address, reason: Exception) -> None:
    """Wait before another try at what failed; None, and what no waiting helps, is an error in words."""
    if wait is None or isinstance(reason, FileNotFoundError | PermissionError):
        raise trouble(one, reason) from reason
    time.sleep(wait)


@contextmanager
def told_of(one: object) -> Iterator[None]:
    """Anything that goes wrong within is told as what happened to this file."""
    try:
        yield
    except PolyrecError:
        raise
    except Exception as reason:
        raise trouble(one, reason) from reason


def trouble(one: object, reason: Exception) -> DataError:
    """What a file system said, with what to do."""
    words = f"{type(reason).__name__}: {str(reason).splitlines()[0].rstrip('.') if str(reason) else 'no words'}"
    if isinstance(reason, FileNotFoundError):
        return absent(one)
    if isinstance(reason, PermissionError) or (_DENIED.search(words) and "resolve host" not in words):
        return DataError(
            f"{one} may not be read ({words}). Give this machine the right to: systems take credentials from the "
            "environment or from their own configuration files, not from the address."
        )
    return DataError(
        f"{one} cannot be reached ({words}). If the connection failed, run the same command again, fit with --resume; "
        "else check the address, its region and its endpoint."
    )


def few(places: Sequence[object], most: int = 3) -> str:
    """The first few names, and how many there are."""
    shown = ", ".join(str(one) for one in places[:most])
    return shown if len(places) <= most else f"{shown} ... ({len(places):,} files)"


def parse(text: str) -> tuple[str, str, str, str]:
    """Scheme, host, path and query; a query is read off for pyarrow's systems alone, which take options there."""
    found = _ADDRESS.fullmatch(text)
    assert found is not None
    scheme, host, path = found[1].lower(), found[2], found[3]
    if ":" in host.partition("@")[0] and "@" in host:
        raise DataError(
            f"{scheme}://...@{host.rpartition('@')[2]}/{path} holds a password, and addresses are written to the files "
            "of a run. Leave it out: systems take credentials from the environment or from their configuration files."
        )
    rest = text[found.start(2) :]
    query = found[0] if scheme in _ARROW and (found := _QUERY.search(rest)) else ""
    return scheme, host, path.removesuffix(query) if query else path, query


def inside(text: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address, and the path in it."""
    scheme, host, path, query = parse(text)
    system, root = system_of(scheme, host, query)
    return system, join(root, path)


def join(root: str, path: str) -> str:
    """A path below another."""
    return f"{root.rstrip('/')}/{path}" if path else root


@lru_cache(maxsize=64)
def system_of(scheme: str, host: str, query: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address, and where it begins in it: kept, since each holds connections."""
    if SIGNS.search(host):
        raise DataError(f"{scheme}://{host}: a pattern can stand for folders and files, not for {host!r}. Name it.")
    root = f"{scheme}://{host}/"
    with told_of(root + query):
        if scheme in _ARROW:
            options = query
            if scheme in ("gs", "gcs") and "retry_limit_seconds" not in query:
                options = f"{query}&{_PATIENCE}" if query else f"?{_PATIENCE}"
            try:
                system, path = fs.FileSystem.from_uri(root + options)
                return system, path
            except pa.ArrowNotImplementedError:
                pass  # pyarrow was built without it
            except pa.ArrowInvalid as reason:
                raise DataError(f"{root}{query} is no address: {reason}. Check its form and its options.") from reason
        return _of_fsspec(scheme, root)


def _of_fsspec(scheme: str, root: str) -> tuple[fs.FileSystem, str]:
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(root)
    except ImportError as reason:
        raise DataError(
            f"{root} needs a package that is not installed: {reason}. Install it beside polyrec."
        ) from reason
    except ValueError as reason:
        if "not known" not in str(reason):
            raise
        raise DataError(
            f"{root}: nothing reads {scheme!r} addresses. Known: {', '.join(_ARROW)}, and those of installed fsspec "
            "packages. Check the spelling, or install the package of that system."
        ) from reason
    return fs.PyFileSystem(Ranged(system)), path


def absent(one: object) -> DataError:
    """Words for a file that is not there."""
    hint = " Names are written as they are, without %-codes." if "%" in str(one) else ""
    return DataError(f"{one} does not exist. Check the address, its bucket or host, and the region.{hint}")
