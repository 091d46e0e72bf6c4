"""Files that match a pattern with a scheme, listed folder by folder."""

from fnmatch import fnmatchcase
from functools import partial

from pyarrow import fs

from polyrec.data.ahead import mapped
from polyrec.data.places import SIGNS, THREADS, Address, inside, join, parse, system_of, told_of
from polyrec.errors import DataError


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
    scheme, host, path, query = parse(pattern)
    system, whole = inside(pattern)
    root = system_of(scheme, host, query)[1]
    with told_of(pattern):
        (info,) = system.get_file_info([whole])
        if info.type == fs.FileType.Directory:
            raise DataError(
                f"{pattern} is a folder; name the files in it, for example {pattern.rstrip('/')}/*.parquet."
            )
        if info.type != fs.FileType.NotFound or not SIGNS.search(path):
            return [] if info.type == fs.FileType.NotFound else [Address(pattern, info.size, info.mtime_ns)]
        infos = _walk(system, root, path.split("/"))
    front = f"{scheme}://{host}/"
    known = {info.path.removeprefix(root).strip("/"): info for info in infos}
    names = sorted(known, key=lambda name: name.split("/"))
    return [Address(f"{front}{name}{query}", known[name].size, known[name].mtime_ns) for name in names]


def _walk(system: fs.FileSystem, root: str, parts: list[str]) -> list[fs.FileInfo]:
    """Files that match, level by level; the folders of a level are listed by several threads."""
    folders, pending = [root], ""  # what has no sign is not listed
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            folders, below = [join(one, pending) for one in folders], list[fs.FileInfo]()
            level = folders
            while level:
                listed = _listed(system, level)
                below += [one for one in listed if one.type == fs.FileType.File]
                level = [one.path for one in listed if one.type == fs.FileType.Directory]
                folders = [*folders, *level]
            if last:
                return below
            pending = ""
        elif not SIGNS.search(part) and not last:
            pending = f"{pending}/{part}".strip("/")
        else:
            wanted = fs.FileType.File if last else fs.FileType.Directory
            found = _listed(system, [join(one, pending) for one in folders])
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
    return fnmatchcase(name, part) if SIGNS.search(part) else name == part
