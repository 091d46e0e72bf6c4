"""Where files are: local paths, and addresses such as `s3://bucket/log.parquet` on any system of pyarrow or fsspec."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import fs

from polyrec.atomic import is_address
from polyrec.data.ahead import mapped
from polyrec.data.ranged import Ranged
from polyrec.errors import DataError, PolyrecError

THREADS = 32  # requests at a time to a system that is not a local path
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/?]*)/?(.*)", re.DOTALL)
_QUERY = re.compile(r"\?[A-Za-z_]\w*=[^/?]*$")
_ARROW = ("file", "s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")  # pyarrow's own; the others are fsspec's
_PATIENCE = "retry_limit_seconds=60"  # Google's client tries for 15 minutes where nobody says otherwise
_SIGNS = re.compile(r"[*?[]")
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
        return PurePosixPath(_parse(self.text)[2]).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The end of the name, from the last dot on."""
        return PurePosixPath(self.name).suffix


Place = Path | Address


def place(text: str | Path | Address) -> Place:
    """A local path, or an address as it is."""
    if isinstance(text, Path | Address):
        return text
    return Address(text) if is_address(text) else Path(text)


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
        system, path = _inside(one.text)
        with told_of(one):
            (info,) = system.get_file_info([path])
        if info.type == fs.FileType.NotFound:
            raise _absent(one)
        return info.size, info.mtime_ns
    return one.size, one.changed


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
    system, path = _inside(one.text)
    with system.open_input_file(path) as file:
        yield file


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
        return _absent(one)
    if isinstance(reason, PermissionError) or _DENIED.search(words):
        return DataError(
            f"{one} may not be read ({words}). Give this machine the right to: systems take credentials from the "
            "environment or from their own configuration files, not from the address."
        )
    return DataError(
        f"{one} cannot be reached ({words}). If the connection failed, run the same command again, fit with --resume; "
        "else check the address, its region and its endpoint."
    )


def find(pattern: str) -> list[Address]:
    """Files whose address matches, in the order of their names, folder by folder; none where none does.

    `*`, `?` and `[...]` stand for parts of one name, `**` for any number of folders.

    Raises:
        DataError: the address names a folder, or its system cannot be reached.

    Example:
        >>> import fsspec
        >>> for name in ("b", "a"):
        ...     fsspec.filesystem("memory").pipe(f"/find/day=1/{name}.csv", b"x")
        >>> [str(one) for one in find("memory://find/day=*/*.csv")]
        ['memory://find/day=1/a.csv', 'memory://find/day=1/b.csv']
    """
    scheme, host, path, query = _parse(pattern)
    system, whole = _inside(pattern)
    root = _system(scheme, host, query)[1]
    with told_of(pattern):
        (info,) = system.get_file_info([whole])
        if info.type == fs.FileType.Directory:
            raise DataError(
                f"{pattern} is a folder; name the files in it, for example {pattern.rstrip('/')}/*.parquet."
            )
        if info.type != fs.FileType.NotFound or not _SIGNS.search(path):
            return [] if info.type == fs.FileType.NotFound else [Address(pattern, info.size, info.mtime_ns)]
        infos = _walk(system, root, path.split("/"))
    front = f"{scheme}://{host}/"
    known = {info.path.removeprefix(root).strip("/"): info for info in infos}
    names = sorted(known, key=lambda name: name.split("/"))
    return [Address(f"{front}{name}{query}", known[name].size, known[name].mtime_ns) for name in names]


def few(places: Sequence[object], most: int = 3) -> str:
    """The first few names, and how many there are."""
    shown = ", ".join(str(one) for one in places[:most])
    return shown if len(places) <= most else f"{shown} ... ({len(places):,} files)"


def _walk(system: fs.FileSystem, root: str, parts: list[str]) -> list[fs.FileInfo]:
    """Files that match, level by level; the folders of a level are listed by several threads."""
    folders, pending = [root], ""  # what has no sign is not listed
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            folders, below = [_join(one, pending) for one in folders], list[fs.FileInfo]()
            level = folders
            while level:
                listed = _listed(system, level)
                below += [one for one in listed if one.type == fs.FileType.File]
                level = [one.path for one in listed if one.type == fs.FileType.Directory]
                folders = [*folders, *level]
            if last:
                return below
            pending = ""
        elif not _SIGNS.search(part) and not last:
            pending = f"{pending}/{part}".strip("/")
        else:
            wanted = fs.FileType.File if last else fs.FileType.Directory
            found = _listed(system, [_join(one, pending) for one in folders])
            chosen = [one for one in found if one.type == wanted and _matches(one.path, part)]
            if last:
                return chosen
            folders, pending = [one.path for one in chosen], ""
    return []


def _listed(system: fs.FileSystem, folders: list[str]) -> list[fs.FileInfo]:
    return [one for found in mapped(partial(_list, system), folders, THREADS) for one in found]


def _list(system: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    found: list[fs.FileInfo] = system.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    return found


def _matches(path: str, part: str) -> bool:
    name = path.rstrip("/").rpartition("/")[2]
    return fnmatchcase(name, part) if _SIGNS.search(part) else name == part


def _parse(text: str) -> tuple[str, str, str, str]:
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


def _inside(text: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address, and the path in it."""
    scheme, host, path, query = _parse(text)
    system, root = _system(scheme, host, query)
    return system, _join(root, path)


def _join(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}" if path else root


@lru_cache(maxsize=64)
def _system(scheme: str, host: str, query: str) -> tuple[fs.FileSystem, str]:
    """A file system, and where it begins: kept, since each holds connections."""
    if _SIGNS.search(host):
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


def _absent(one: object) -> DataError:
    hint = " Names are written as they are, without %-codes." if "%" in str(one) else ""
    return DataError(f"{one} does not exist. Check the address, its bucket or host, and the region.{hint}")
